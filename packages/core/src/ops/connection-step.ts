import { add, concat, reshape, slice, zeros, type Tensor } from '@tensorflow/tfjs-core';
import { ShapeError } from '../errors';
import { defineKernel } from '../kernel';
import { KernelName } from '../kernel-names';
import { requireConnectionParameters, type ConnectionParameters, type ConnectionSizes } from './connection-parameters';
import {
  coefficientGradients,
  coefficients,
  columns,
  mixSlots,
  mixSlotsGradients,
  segmentsOf,
  writeSegments,
  writeSegmentsGradients,
  type CoefficientParameters,
} from './internal/connection-math';
import { segmentWidth } from './internal/connection-shapes';
import { requireShape } from './internal/shapes';

/** Gradient of a whole matrix from that of the columns which were read: zero for the others. */
function padColumns(x: Tensor, before: number, after: number): Tensor {
  const [rows = 0] = x.shape;
  const parts = [x];
  if (before > 0) parts.unshift(zeros([rows, before]));
  if (after > 0) parts.push(zeros([rows, after]));
  return parts.length === 1 ? x : concat(parts, 1);
}

/** The part of `previous` that the step uses: the carry Â (columns m … m+n of alpha) beside beta, [·, n+m]. */
const previousColumns = (alpha: Tensor, beta: Tensor, { m, n }: ConnectionSizes) =>
  concat([columns(alpha, m, n), beta], 1);

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

function previousParameters(p: Tensors<(typeof previousNames)[number]>, sizes: ConnectionSizes): CoefficientParameters {
  return {
    offset: previousColumns(p.staticAlpha, p.staticBeta, sizes),
    scale: previousColumns(p.alphaScale, p.betaScale, sizes),
    fn: previousColumns(p.alphaFn, p.betaFn, sizes),
    normWeight: p.normWeight,
  };
}

/** Of `next` the step needs only the read A°, the first m columns of alpha. */
function nextParameters(p: Tensors<(typeof nextNames)[number]>, { m }: ConnectionSizes): CoefficientParameters {
  return {
    offset: columns(p.nextStaticAlpha, 0, m),
    scale: columns(p.nextAlphaScale, 0, m),
    fn: columns(p.nextAlphaFn, 0, m),
    normWeight: p.nextNormWeight,
  };
}

const dynamicGradKernel = defineKernel<DynamicInputs | 'dh' | 'dx', ConnectionSizes>({
  name: KernelName.ConnectionStepGrad,
  inputs: [...dynamicInputs, 'dh', 'dx'],
  composed: (inputs, sizes) => {
    const { h, out, dh, dx } = inputs;
    const { m, n, eps } = sizes;
    const [s, o] = [segmentsOf(h, n), segmentsOf(out, m)];
    const before = previousParameters(inputs, sizes);
    const after = nextParameters(inputs, sizes);
    const previous = coefficients(s, before, eps);
    const [carried, beta] = [columns(previous.value, 0, n), columns(previous.value, n, m)];
    const next = add(writeSegments(beta, o), mixSlots(carried, s));
    const read = coefficients(next, after, eps);

    const reading = mixSlotsGradients(read.value, next, segmentsOf(dx, m));
    const dRead = coefficientGradients(reading.alpha, read, after);
    const dNext = add(segmentsOf(dh, n), add(reading.s, dRead.s));
    const writing = writeSegmentsGradients(beta, o, dNext);
    const carrying = mixSlotsGradients(carried, s, dNext);
    const dPrevious = coefficientGradients(concat([carrying.alpha, writing.beta], 2), previous, before);

    const alphaOf = (x: Tensor) => padColumns(columns(x, 0, n), m, 0);
    const betaOf = (x: Tensor) => columns(x, n, m);
    return [
      reshape(add(carrying.s, dPrevious.s), h.shape),
      reshape(writing.o, out.shape),
      alphaOf(dPrevious.offset),
      betaOf(dPrevious.offset),
      dPrevious.normWeight,
      alphaOf(dPrevious.fn),
      betaOf(dPrevious.fn),
      alphaOf(dPrevious.scale),
      betaOf(dPrevious.scale),
      padColumns(dRead.offset, 0, n),
      dRead.normWeight,
      padColumns(dRead.fn, 0, n),
      padColumns(dRead.scale, 0, n),
    ];
  },
});

const dynamicKernel = defineKernel<DynamicInputs, ConnectionSizes>({
  name: KernelName.ConnectionStep,
  inputs: dynamicInputs,
  composed: (inputs, sizes) => {
    const { h, out } = inputs;
    const { m, n, eps } = sizes;
    const s = segmentsOf(h, n);
    const { value } = coefficients(s, previousParameters(inputs, sizes), eps);
    const next = add(writeSegments(columns(value, n, m), segmentsOf(out, m)), mixSlots(columns(value, 0, n), s));
    const read = coefficients(next, nextParameters(inputs, sizes), eps);
    return [reshape(next, h.shape), reshape(mixSlots(read.value, next), out.shape)];
  },
  gradient: {
    backward: ([dh, dx], inputs, _outputs, sizes) => {
      const grads = dynamicGradKernel({ ...inputs, dh: dh as Tensor, dx: dx as Tensor }, sizes);
      return Object.fromEntries(dynamicInputs.map((name, i) => [name, grads[i] as Tensor]));
    },
  },
});

type StaticInputs = 'h' | 'out' | 'staticAlpha' | 'staticBeta' | 'nextStaticAlpha';
const staticInputs: readonly StaticInputs[] = ['h', 'out', 'staticAlpha', 'staticBeta', 'nextStaticAlpha'];

function staticNext({ h, out, staticAlpha, staticBeta }: Tensors<StaticInputs>, { m, n }: ConnectionSizes): Tensor {
  return add(writeSegments(staticBeta, segmentsOf(out, m)), mixSlots(columns(staticAlpha, m, n), segmentsOf(h, n)));
}

const staticGradKernel = defineKernel<StaticInputs | 'dh' | 'dx', ConnectionSizes>({
  name: KernelName.StaticConnectionStepGrad,
  inputs: [...staticInputs, 'dh', 'dx'],
  composed: (inputs, sizes) => {
    const { h, out, staticAlpha, staticBeta, nextStaticAlpha, dh, dx } = inputs;
    const { m, n } = sizes;
    const next = staticNext(inputs, sizes);
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
    backward: ([dh, dx], inputs, _outputs, sizes) => {
      const grads = staticGradKernel({ ...inputs, dh: dh as Tensor, dx: dx as Tensor }, sizes);
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
