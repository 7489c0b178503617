import type { Tensor } from '@tensorflow/tfjs-core';
import { ShapeError } from '../errors';
import type { KernelCall } from '../kernel';
import { connectionKernelNames, connectionKinds, type ConnectionKind } from '../kernel-names';
import {
  requireConnectionParameters,
  type ConnectionParameters,
  type ConnectionSizes,
  type SublayerNorm,
} from './connection-parameters';
import { defineStep, type StepAttributes } from './internal/connection-halves';
import { segmentWidth } from './internal/connection-shapes';
import { requireEpsilon, requirePositiveWhole } from '../arguments';
import { requireFloats } from './internal/shapes';

const kernels = new Map(connectionKinds.map((kind) => [connectionKernelNames(kind)[0], defineStep(kind)]));

/** Runs the kernel of a kind on its inputs, in any order. */
function run(kind: ConnectionKind, inputs: Record<string, Tensor>, attributes: StepAttributes): Tensor[] {
  const kernel = kernels.get(connectionKernelNames(kind)[0]) as KernelCall<string, StepAttributes>;
  return kernel(inputs, attributes);
}

/**
 * The fused step from one sublayer to the next: depth connection of `previous`, then norm, coefficients and read of
 * `next`. h [..., n·db] is the state that `previous` read, out [..., D] what its sublayer made of it. The carry is
 * rebuilt from h, never stored: a native kernel reads h and out and writes the next state and the next sublayer's
 * input x [..., D], which is 5r+5 units of traffic forward and backward (docs/architecture.md). With `norm`, x has been
 * through that RMSNorm, and what was read is rebuilt in the backward pass too.
 * @throws ShapeError, also when one connection is dynamic and the other static; ConfigError when m, n or eps cannot be one
 */
export function connectionStep(
  h: Tensor,
  out: Tensor,
  previous: ConnectionParameters,
  next: ConnectionParameters,
  sizes: ConnectionSizes,
  norm?: SublayerNorm,
): { h: Tensor; x: Tensor } {
  const op = 'connectionStep';
  const db = requireOutput(op, h, out, sizes);
  for (const each of [previous, next]) requireConnectionParameters(op, each, { ...sizes, db });
  requireNorm(op, norm, sizes.m * db);
  if (!previous.dynamic !== !next.dynamic)
    throw new ShapeError(`${op}: one connection is dynamic and the other static`, {
      expected: 'two of a kind',
      hint: 'Use connectionWrite and connectionRead where kinds change',
    });
  const inputs = { h, out, ...writingOf(previous), ...readingOf(next, norm) };
  const kind = { write: true, read: true, dynamic: previous.dynamic !== undefined, normed: norm !== undefined };
  const [state, x] = run(kind, inputs, attributesOf(sizes, norm));
  return { h: state as Tensor, x: x as Tensor };
}

/**
 * The reading half of {@link connectionStep} alone, for the first sublayer: norm, coefficients and read A° of `next`,
 * `x = A°ᵀ H` (eq. 10), with `norm` through that; h [..., n·db] → x [..., D].
 * @throws ShapeError; ConfigError when m, n or eps cannot be one
 */
export function connectionRead(
  h: Tensor,
  next: ConnectionParameters,
  sizes: ConnectionSizes,
  norm?: SublayerNorm,
): Tensor {
  return runRead('connectionRead', false, h, next, sizes, norm)[0] as Tensor;
}

/**
 * As {@link connectionRead}, for a state that others read too: they take it from here, and the gradient that it gets from
 * them is added in the read's own backward pass, not by one more over the state.
 * @throws ShapeError; ConfigError when m, n or eps cannot be one
 */
export function connectionEntry(
  h: Tensor,
  next: ConnectionParameters,
  sizes: ConnectionSizes,
  norm?: SublayerNorm,
): { h: Tensor; x: Tensor } {
  const [state, x] = runRead('connectionEntry', true, h, next, sizes, norm);
  return { h: state as Tensor, x: x as Tensor };
}

function runRead(
  op: string,
  passes: boolean,
  h: Tensor,
  next: ConnectionParameters,
  sizes: ConnectionSizes,
  norm: SublayerNorm | undefined,
): Tensor[] {
  const db = segmentWidth(op, 'h', h, sizes.n);
  requireConnectionParameters(op, next, { ...sizes, db });
  requireNorm(op, norm, sizes.m * db);
  const kind = { write: false, read: true, dynamic: next.dynamic !== undefined, normed: norm !== undefined, passes };
  return run(kind, { h, ...readingOf(next, norm) }, attributesOf(sizes, norm));
}

/**
 * The writing half of {@link connectionStep} alone, for the last sublayer: `H'_next = Bᵀ o + Âᵀ H` with the
 * coefficients rebuilt from h; h [..., n·db], out [..., D] → [..., n·db].
 * @throws ShapeError; ConfigError when m, n or eps cannot be one
 */
export function connectionWrite(
  h: Tensor,
  out: Tensor,
  previous: ConnectionParameters,
  sizes: ConnectionSizes,
): Tensor {
  const op = 'connectionWrite';
  const db = requireOutput(op, h, out, sizes);
  requireConnectionParameters(op, previous, { ...sizes, db });
  const kind = { write: true, read: false, dynamic: previous.dynamic !== undefined, normed: false };
  return run(kind, { h, out, ...writingOf(previous) }, attributesOf(sizes))[0] as Tensor;
}

function requireOutput(op: string, h: Tensor, out: Tensor, { m, n }: { m: number; n: number }): number {
  const db = segmentWidth(op, 'h', h, n);
  requirePositiveWhole(op, 'm', m);
  const expected = [...h.shape.slice(0, -1), m * db];
  requireFloats(op, 'out', out, expected, 'out has the leading dimensions of h and width D = m·db');
  return db;
}

function requireNorm(op: string, norm: SublayerNorm | undefined, width: number): void {
  if (!norm) return;
  requireFloats(op, 'norm.weight', norm.weight, [width], 'The sublayer sees the backbone width D = m·db');
  requireEpsilon(op, 'norm.eps', norm.eps);
}

/** Only these: sizes may come from an object that has more. */
function attributesOf({ m, n, eps }: ConnectionSizes, norm?: SublayerNorm): StepAttributes {
  return { m, n, eps, ...(norm && { normEps: norm.eps }) };
}

function writingOf({ staticAlpha, staticBeta, dynamic }: ConnectionParameters): Record<string, Tensor> {
  if (!dynamic) return { staticAlpha, staticBeta };
  const { normWeight, alphaFn, betaFn, alphaScale, betaScale } = dynamic;
  return { staticAlpha, staticBeta, normWeight, alphaFn, betaFn, alphaScale, betaScale };
}

function readingOf(
  { staticAlpha: nextStaticAlpha, dynamic }: ConnectionParameters,
  norm?: SublayerNorm,
): Record<string, Tensor> {
  const fixed = { nextStaticAlpha, ...(norm && { sublayerNorm: norm.weight }) };
  if (!dynamic) return fixed;
  const { normWeight: nextNormWeight, alphaFn: nextAlphaFn, alphaScale: nextAlphaScale } = dynamic;
  return { ...fixed, nextNormWeight, nextAlphaFn, nextAlphaScale };
}
