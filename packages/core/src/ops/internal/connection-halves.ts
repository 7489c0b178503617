/**
 * The two halves of a step from one sublayer to the next, composed: writing (depth connection of the previous
 * connection; the carry Â and the write Bᵀ are rebuilt from h) and reading (norm, coefficients and read of the next, and
 * the norm of the sublayer behind where the kernel takes it in). A kernel has either half or both, static or dynamic.
 */
import { add, clone, pad, reshape, type Tensor } from '@tensorflow/tfjs-core';
import { defineKernel, type KernelCall } from '../../kernel';
import { connectionKernelNames, type ConnectionKind } from '../../kernel-names';
import type { ConnectionSizes } from '../connection-parameters';
import { composedRmsNorm, composedRmsNormGradients } from '../rms-norm';
import {
  alphaColumns,
  coefficientGradients,
  coefficients,
  columns,
  mixSlots,
  mixSlotsGradients,
  normalizeSlots,
  segmentsOf,
  writeSegments,
  writeSegmentsGradients,
  type Coefficients,
  type NormalizedSlots,
} from './connection-math';

type Tensors = Record<string, Tensor>;

/** Names of the parameters that each half takes, in the order in which native kernels take them too. */
const parameterNames = {
  write: {
    static: ['staticAlpha', 'staticBeta'],
    dynamic: ['staticAlpha', 'staticBeta', 'normWeight', 'alphaFn', 'betaFn', 'alphaScale', 'betaScale'],
  },
  read: {
    static: ['nextStaticAlpha'],
    dynamic: ['nextStaticAlpha', 'nextNormWeight', 'nextAlphaFn', 'nextAlphaScale'],
  },
} as const;

export interface StepAttributes extends ConnectionSizes {
  /** eps of the sublayer's norm; only in kernels that have it. */
  readonly normEps?: number;
}

type Step = KernelCall<string, StepAttributes>;

/** A step's kernel: inputs h, [write: out], then the parameters, [normed: sublayerNorm] → [write: hNext, passes: h], [read: x]. */
export function defineStep(kind: ConnectionKind): Step {
  const [name, gradName] = connectionKernelNames(kind);
  const inputNames = inputsOf(kind);
  const grad = defineStepGradient(gradName, kind);
  return defineKernel<string, StepAttributes>({
    name,
    inputs: inputNames,
    composed: (inputs, sizes) => stepOf(inputs, kind, sizes),
    gradient: {
      // It costs no memory to keep hNext, for the step after keeps it as its h.
      savedOutputs: kind.write && kind.read ? [true, false] : [],
      backward: (dys, inputs, outputs, sizes) => {
        const upstream = upstreamOf(dys, outputs, kind);
        const grads = grad({ ...inputs, ...upstream }, sizes);
        return Object.fromEntries(inputNames.map((input, i) => [input, grads[i] as Tensor]));
      },
    },
  });
}

function inputsOf({ write, read, dynamic, normed }: ConnectionKind): string[] {
  const coefficients = dynamic ? 'dynamic' : 'static';
  return [
    'h',
    ...(write ? ['out', ...parameterNames.write[coefficients]] : []),
    ...(read ? parameterNames.read[coefficients] : []),
    ...(normed ? ['sublayerNorm'] : []),
  ];
}

function upstreamOf(dys: Tensor[], outputs: Tensor[], { write, read, passes }: ConnectionKind): Tensors {
  const [first, second] = dys as [Tensor, Tensor];
  if (passes) return { dh: first, dx: second };
  if (write && read) return { hNext: outputs[0] as Tensor, dh: first, dx: second };
  return write ? { dh: first } : { dx: first };
}

function stepOf(inputs: Tensors, kind: ConnectionKind, sizes: StepAttributes): Tensor[] {
  const h = inputs.h as Tensor;
  const state = kind.write ? writing(inputs, kind, sizes).next() : segmentsOf(h, sizes.n);
  const outputs = kind.write ? [reshape(state, h.shape)] : kind.passes ? [clone(h)] : [];
  if (!kind.read) return outputs;
  const db = state.shape[2] as number;
  const mixed = mixSlots(reading(state, inputs, kind, sizes).value, state);
  const x = reshape(mixed, [...h.shape.slice(0, -1), sizes.m * db]);
  return [...outputs, kind.normed ? composedRmsNorm(x, ...normOf(inputs, sizes)) : x];
}

function normOf(inputs: Tensors, { normEps = 0 }: StepAttributes): [weight: Tensor, eps: number] {
  return [inputs.sublayerNorm as Tensor, normEps];
}

/** A native kernel may rebuild the next state from h and out instead of reading it from `hNext`. */
function defineStepGradient(name: string, kind: ConnectionKind): Step {
  const { write, read, passes } = kind;
  const upstream = [...(write && read ? ['hNext'] : []), ...(write || passes ? ['dh'] : []), ...(read ? ['dx'] : [])];
  return defineKernel<string, StepAttributes>({
    name,
    inputs: [...inputsOf(kind), ...upstream],
    composed: (inputs, sizes) => {
      const { h, hNext, dh, dx } = inputs as { h: Tensor; hNext?: Tensor; dh?: Tensor; dx?: Tensor };
      let dState = dh && segmentsOf(dh, sizes.n);
      let readGrads: Tensor[] = [];
      if (dx) {
        const through = readGradients(segmentsOf(hNext ?? h, sizes.n), dx, inputs, kind, sizes);
        dState = dState ? add(dState, through.state) : through.state;
        readGrads = through.parameters;
      }
      if (!write) return [reshape(dState as Tensor, h.shape), ...readGrads];
      return [...writeGradients(dState as Tensor, inputs, kind, sizes), ...readGrads];
    },
  });
}

interface Mixing {
  readonly value: Tensor;
  readonly slots?: NormalizedSlots;
  readonly dynamic?: Coefficients;
}

/** The read A°, the first m columns of the next alpha: [P, n, m] or, static, [n, m]. */
function reading(state: Tensor, inputs: Tensors, { dynamic }: ConnectionKind, { m, eps }: ConnectionSizes): Mixing {
  const { nextStaticAlpha, nextAlphaScale, nextAlphaFn, nextNormWeight } = inputs as Record<string, Tensor>;
  if (!dynamic) return { value: columns(nextStaticAlpha as Tensor, 0, m) };
  const slots = normalizeSlots(state, eps);
  const next = {
    staticAlpha: nextStaticAlpha as Tensor,
    alphaScale: nextAlphaScale as Tensor,
    alphaFn: nextAlphaFn as Tensor,
  };
  const read = coefficients(slots, nextNormWeight as Tensor, alphaColumns(next, 0, m));
  return { value: read.value, slots, dynamic: read };
}

/** Gradients of the state that was read, and of the reading half's parameters in their order. */
function readGradients(state: Tensor, dx: Tensor, inputs: Tensors, kind: ConnectionKind, sizes: StepAttributes) {
  const { m, n } = sizes;
  const { value, slots, dynamic } = reading(state, inputs, kind, sizes);
  const { dRead, dNorm } = throughNorm(value, state, dx, inputs, kind, sizes);
  const mixed = mixSlotsGradients(value, state, segmentsOf(dRead, m));
  if (!slots || !dynamic) return { state: mixed.s, parameters: [padColumns(mixed.alpha, 0, n), ...dNorm] };
  const after = coefficientGradients(slots, inputs.nextNormWeight as Tensor, {
    read: { ...dynamic, upstream: mixed.alpha },
  });
  const { offset, fn, scale } = after.parameters.read;
  return {
    state: add(mixed.s, after.s),
    parameters: [padColumns(offset, 0, n), after.normWeight, padColumns(fn, 0, n), padColumns(scale, 0, n), ...dNorm],
  };
}

/** From the gradient of x to that of what was read, which is read once more, and of the sublayer's norm if it has one. */
function throughNorm(
  value: Tensor,
  state: Tensor,
  dx: Tensor,
  inputs: Tensors,
  { normed }: ConnectionKind,
  sizes: StepAttributes,
): { dRead: Tensor; dNorm: Tensor[] } {
  if (!normed) return { dRead: dx, dNorm: [] };
  const [weight, eps] = normOf(inputs, sizes);
  const [dRead, ...dNorm] = composedRmsNormGradients(reshape(mixSlots(value, state), dx.shape), weight, dx, eps);
  return { dRead, dNorm };
}

function writing(inputs: Tensors, { dynamic }: ConnectionKind, { m, n, eps }: ConnectionSizes) {
  const { h, out, staticAlpha, staticBeta, normWeight, betaScale, betaFn } = inputs as Record<string, Tensor>;
  const [s, o] = [segmentsOf(h as Tensor, n), segmentsOf(out as Tensor, m)];
  const slots = dynamic ? normalizeSlots(s, eps) : undefined;
  const of = (parameters: Parameters<typeof coefficients>[2]) =>
    slots && coefficients(slots, normWeight as Tensor, parameters);
  const carry = dynamic ? of(alphaColumns(inputs as Parameters<typeof alphaColumns>[0], m, n)) : undefined;
  const write = dynamic
    ? of({ offset: staticBeta as Tensor, scale: betaScale as Tensor, fn: betaFn as Tensor })
    : undefined;
  const alpha = carry?.value ?? columns(staticAlpha as Tensor, m, n);
  const beta = write?.value ?? (staticBeta as Tensor);
  const next = () => add(writeSegments(beta, o), mixSlots(alpha, s));
  return { s, o, slots, carry, write, alpha, beta, next };
}

/** dh, dout and the gradients of the writing half's parameters, in their order. */
function writeGradients(dNext: Tensor, inputs: Tensors, kind: ConnectionKind, sizes: ConnectionSizes): Tensor[] {
  const { h, out, normWeight } = inputs as Record<string, Tensor>;
  const { s, o, slots, carry, write, alpha, beta } = writing(inputs, kind, sizes);
  const written = writeSegmentsGradients(beta, o, dNext);
  const carried = mixSlotsGradients(alpha, s, dNext);
  const dOut = reshape(written.o, (out as Tensor).shape);
  const { m } = sizes;
  if (!slots || !carry || !write)
    return [reshape(carried.s, (h as Tensor).shape), dOut, padColumns(carried.alpha, m, 0), written.beta];
  const before = coefficientGradients(slots, normWeight as Tensor, {
    carry: { ...carry, upstream: carried.alpha },
    write: { ...write, upstream: written.beta },
  });
  const { carry: dCarry, write: dWrite } = before.parameters;
  return [
    reshape(add(carried.s, before.s), (h as Tensor).shape),
    dOut,
    padColumns(dCarry.offset, m, 0),
    dWrite.offset,
    before.normWeight,
    padColumns(dCarry.fn, m, 0),
    dWrite.fn,
    padColumns(dCarry.scale, m, 0),
    dWrite.scale,
  ];
}

/** Gradient of a whole matrix from that of the columns which were used: zero for the others. */
function padColumns(x: Tensor, before: number, after: number): Tensor {
  return pad(x, [
    [0, 0],
    [before, after],
  ]);
}
