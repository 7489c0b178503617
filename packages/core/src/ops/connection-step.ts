import { add, pad, reshape, type Tensor } from '@tensorflow/tfjs-core';
import { ShapeError } from '../errors';
import { defineKernel } from '../kernel';
import { KernelName } from '../kernel-names';
import { requireConnectionParameters, type ConnectionParameters, type ConnectionSizes } from './connection-parameters';
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
} from './internal/connection-math';
import { segmentWidth } from './internal/connection-shapes';
import { requireShape } from './internal/shapes';

/** Gradient of a whole matrix from that of the columns which were used: zero for the others. */
function padColumns(x: Tensor, before: number, after: number): Tensor {
  return pad(x, [
    [0, 0],
    [before, after],
  ]);
}

const previousNames = [
  'staticAlpha',
  'staticBeta',
  'normWeight',
  'alphaFn',
  'betaFn',
  'alphaScale',
  'betaScale',
] as const;
const nextNames = ['nextStaticAlpha', 'nextNormWeight', 'nextAlphaFn', 'nextAlphaScale'] as const;
type DynamicInputs = 'h' | 'out' | (typeof previousNames)[number] | (typeof nextNames)[number];
const dynamicInputs: readonly DynamicInputs[] = ['h', 'out', ...previousNames, ...nextNames];

type Tensors<K extends string> = Record<K, Tensor>;

/** What of `previous` leads to the next state: its carry Â and write Bᵀ, rebuilt from h. */
function rebuild(inputs: Tensors<DynamicInputs>, { m, n, eps }: ConnectionSizes) {
  const { h, out, normWeight, staticBeta, betaScale, betaFn } = inputs;
  const [s, o] = [segmentsOf(h, n), segmentsOf(out, m)];
  const slots = normalizeSlots(s, eps);
  const carry = coefficients(slots, normWeight, alphaColumns(inputs, m, n));
  const write = coefficients(slots, normWeight, { offset: staticBeta, scale: betaScale, fn: betaFn });
  return { s, o, slots, carry, write };
}

/** Of `next` the step needs only the read A°, the first m columns of alpha. */
function nextRead(slots: NormalizedSlots, inputs: Tensors<DynamicInputs>, { m }: ConnectionSizes): Coefficients {
  const { nextStaticAlpha, nextAlphaScale, nextAlphaFn, nextNormWeight } = inputs;
  const next = { staticAlpha: nextStaticAlpha, alphaScale: nextAlphaScale, alphaFn: nextAlphaFn };
  return coefficients(slots, nextNormWeight, alphaColumns(next, 0, m));
}

/**
 * `hNext` is the step's first output. It costs no memory, for the step after it keeps it as its h; a native kernel may
 * rebuild it from h and out instead of reading it.
 */
const dynamicGradKernel = defineKernel<DynamicInputs | 'hNext' | 'dh' | 'dx', ConnectionSizes>({
  name: KernelName.ConnectionStepGrad,
  inputs: [...dynamicInputs, 'hNext', 'dh', 'dx'],
  composed: (inputs, sizes) => {
    const { h, out, normWeight, nextNormWeight, hNext, dh, dx } = inputs;
    const { m, n, eps } = sizes;
    const { s, o, slots, carry, write } = rebuild(inputs, sizes);
    const next = segmentsOf(hNext, n);
    const nextSlots = normalizeSlots(next, eps);
    const read = nextRead(nextSlots, inputs, sizes);

    const reading = mixSlotsGradients(read.value, next, segmentsOf(dx, m));
    const after = coefficientGradients(nextSlots, nextNormWeight, { read: { ...read, upstream: reading.alpha } });
    const dNext = add(segmentsOf(dh, n), add(reading.s, after.s));
    const writing = writeSegmentsGradients(write.value, o, dNext);
    const carrying = mixSlotsGradients(carry.value, s, dNext);
    const before = coefficientGradients(slots, normWeight, {
      carry: { ...carry, upstream: carrying.alpha },
      write: { ...write, upstream: writing.beta },
    });

    const { carry: dCarry, write: dWrite } = before.parameters;
    const { read: dRead } = after.parameters;
    return [
      reshape(add(carrying.s, before.s), h.shape),
      reshape(writing.o, out.shape),
      padColumns(dCarry.offset, m, 0),
      dWrite.offset,
      before.normWeight,
      padColumns(dCarry.fn, m, 0),
      dWrite.fn,
      padColumns(dCarry.scale, m, 0),
      dWrite.scale,
      padColumns(dRead.offset, 0, n),
      after.normWeight,
      padColumns(dRead.fn, 0, n),
      padColumns(dRead.scale, 0, n),
    ];
  },
});

const dynamicKernel = defineKernel<DynamicInputs, ConnectionSizes>({
  name: KernelName.ConnectionStep,
  inputs: dynamicInputs,
  composed: (inputs, sizes) => {
    const { s, o, carry, write } = rebuild(inputs, sizes);
    const next = add(writeSegments(write.value, o), mixSlots(carry.value, s));
    const read = nextRead(normalizeSlots(next, sizes.eps), inputs, sizes);
    return [reshape(next, inputs.h.shape), reshape(mixSlots(read.value, next), inputs.out.shape)];
  },
  gradient: {
    savedOutputs: [true, false],
    backward: ([dh, dx], inputs, [hNext], sizes) => {
      const grads = dynamicGradKernel({ ...inputs, hNext: hNext as Tensor, dh: dh as Tensor, dx: dx as Tensor }, sizes);
      return Object.fromEntries(dynamicInputs.map((name, i) => [name, grads[i] as Tensor]));
    },
  },
});

type StaticInputs = 'h' | 'out' | 'staticAlpha' | 'staticBeta' | 'nextStaticAlpha';
const staticInputs: readonly StaticInputs[] = ['h', 'out', 'staticAlpha', 'staticBeta', 'nextStaticAlpha'];

function staticNext({ h, out, staticAlpha, staticBeta }: Tensors<StaticInputs>, { m, n }: ConnectionSizes): Tensor {
  return add(writeSegments(staticBeta, segmentsOf(out, m)), mixSlots(columns(staticAlpha, m, n), segmentsOf(h, n)));
}

const staticGradKernel = defineKernel<StaticInputs | 'hNext' | 'dh' | 'dx', ConnectionSizes>({
  name: KernelName.StaticConnectionStepGrad,
  inputs: [...staticInputs, 'hNext', 'dh', 'dx'],
  composed: (inputs, sizes) => {
    const { h, out, staticAlpha, staticBeta, nextStaticAlpha, hNext, dh, dx } = inputs;
    const { m, n } = sizes;
    const next = segmentsOf(hNext, n);
    const reading = mixSlotsGradients(columns(nextStaticAlpha, 0, m), next, segmentsOf(dx, m));
    const dNext = add(segmentsOf(dh, n), reading.s);
    const writing = writeSegmentsGradients(staticBeta, segmentsOf(out, m), dNext);
    const carrying = mixSlotsGradients(columns(staticAlpha, m, n), segmentsOf(h, n), dNext);
    return [
      reshape(carrying.s, h.shape),
      reshape(writing.o, out.shape),
      padColumns(carrying.alpha, m, 0),
      writing.beta,
      padColumns(reading.alpha, 0, n),
    ];
  },
});

const staticKernel = defineKernel<StaticInputs, ConnectionSizes>({
  name: KernelName.StaticConnectionStep,
  inputs: staticInputs,
  composed: (inputs, sizes) => {
    const next = staticNext(inputs, sizes);
    const x = mixSlots(columns(inputs.nextStaticAlpha, 0, sizes.m), next);
    return [reshape(next, inputs.h.shape), reshape(x, inputs.out.shape)];
  },
  gradient: {
    savedOutputs: [true, false],
    backward: ([dh, dx], inputs, [hNext], sizes) => {
      const grads = staticGradKernel({ ...inputs, hNext: hNext as Tensor, dh: dh as Tensor, dx: dx as Tensor }, sizes);
      return Object.fromEntries(staticInputs.map((name, i) => [name, grads[i] as Tensor]));
    },
  },
});

/**
 * The fused step from one sublayer to the next: depth connection of `previous`, then norm, coefficients and read of
 * `next`. h [..., n·db] is the state that `previous` read, out [..., D] what its sublayer made of it. The carry is
 * rebuilt from h, never stored: a native kernel reads h and out and writes the next state and the next sublayer's
 * input x [..., D], which is 5r+5 units of traffic forward and backward (docs/architecture.md).
 * @throws ShapeError; when one connection is dynamic and the other static.
 */
export function connectionStep(
  h: Tensor,
  out: Tensor,
  previous: ConnectionParameters,
  next: ConnectionParameters,
  { m, n, eps }: ConnectionSizes,
): { h: Tensor; x: Tensor } {
  const op = 'connectionStep';
  const db = segmentWidth(op, h, n);
  requireShape(
    op,
    'out',
    out,
    [...h.shape.slice(0, -1), m * db],
    'out has the leading dimensions of h and width D = m·db',
  );
  for (const each of [previous, next]) requireConnectionParameters(op, each, { m, n, db });
  const { staticAlpha, staticBeta } = previous;
  const sizes = { m, n, eps };
  const shared = { h, out, staticAlpha, staticBeta, nextStaticAlpha: next.staticAlpha };
  if (!previous.dynamic && !next.dynamic) return named(staticKernel(shared, sizes));
  if (!previous.dynamic || !next.dynamic)
    throw new ShapeError(`${op}: one connection is dynamic and the other static`, {
      expected: 'two of a kind',
      hint: 'Use depthConnection and widthConnection where kinds change',
    });
  const { normWeight, alphaFn, betaFn, alphaScale, betaScale } = previous.dynamic;
  const reading = {
    nextNormWeight: next.dynamic.normWeight,
    nextAlphaFn: next.dynamic.alphaFn,
    nextAlphaScale: next.dynamic.alphaScale,
  };
  return named(dynamicKernel({ ...shared, normWeight, alphaFn, betaFn, alphaScale, betaScale, ...reading }, sizes));
}

function named([h, x]: Tensor[]): { h: Tensor; x: Tensor } {
  return { h: h as Tensor, x: x as Tensor };
}
