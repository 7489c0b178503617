import type { Tensor } from '@tensorflow/tfjs-core';
import { ShapeError } from '../errors';
import { KernelName } from '../kernel-names';
import { requireConnectionParameters, type ConnectionParameters, type ConnectionSizes } from './connection-parameters';
import { defineStep } from './internal/connection-halves';
import { segmentWidth } from './internal/connection-shapes';
import { requireShape } from './internal/shapes';

const [both, writeOnly, readOnly] = [
  { write: true, read: true },
  { write: true, read: false },
  { write: false, read: true },
];

const kernels = {
  step: {
    dynamic: defineStep(KernelName.ConnectionStep, KernelName.ConnectionStepGrad, { ...both, dynamic: true }),
    static: defineStep(KernelName.StaticConnectionStep, KernelName.StaticConnectionStepGrad, {
      ...both,
      dynamic: false,
    }),
  },
  read: {
    dynamic: defineStep(KernelName.ConnectionRead, KernelName.ConnectionReadGrad, { ...readOnly, dynamic: true }),
    static: defineStep(KernelName.StaticConnectionRead, KernelName.StaticConnectionReadGrad, {
      ...readOnly,
      dynamic: false,
    }),
  },
  write: {
    dynamic: defineStep(KernelName.ConnectionWrite, KernelName.ConnectionWriteGrad, { ...writeOnly, dynamic: true }),
    static: defineStep(KernelName.StaticConnectionWrite, KernelName.StaticConnectionWriteGrad, {
      ...writeOnly,
      dynamic: false,
    }),
  },
};

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
  const db = requireOutput(op, h, out, { m, n });
  for (const each of [previous, next]) requireConnectionParameters(op, each, { m, n, db });
  if (!previous.dynamic !== !next.dynamic)
    throw new ShapeError(`${op}: one connection is dynamic and the other static`, {
      expected: 'two of a kind',
      hint: 'Use connectionWrite and connectionRead where kinds change',
    });
  const kernel = previous.dynamic ? kernels.step.dynamic : kernels.step.static;
  const [state, x] = kernel({ h, out, ...writingOf(previous), ...readingOf(next) }, { m, n, eps });
  return { h: state as Tensor, x: x as Tensor };
}

/**
 * The reading half of {@link connectionStep} alone, for the first sublayer: norm, coefficients and read A° of `next`,
 * `x = A°ᵀ H` (eq. 10); h [..., n·db] → x [..., D].
 * @throws ShapeError
 */
export function connectionRead(h: Tensor, next: ConnectionParameters, { m, n, eps }: ConnectionSizes): Tensor {
  const op = 'connectionRead';
  requireConnectionParameters(op, next, { m, n, db: segmentWidth(op, h, n) });
  const kernel = next.dynamic ? kernels.read.dynamic : kernels.read.static;
  return kernel({ h, ...readingOf(next) }, { m, n, eps })[0] as Tensor;
}

/**
 * The writing half of {@link connectionStep} alone, for the last sublayer: `H'_next = Bᵀ o + Âᵀ H` with the
 * coefficients rebuilt from h; h [..., n·db], out [..., D] → [..., n·db].
 * @throws ShapeError
 */
export function connectionWrite(
  h: Tensor,
  out: Tensor,
  previous: ConnectionParameters,
  { m, n, eps }: ConnectionSizes,
): Tensor {
  const op = 'connectionWrite';
  const db = requireOutput(op, h, out, { m, n });
  requireConnectionParameters(op, previous, { m, n, db });
  const kernel = previous.dynamic ? kernels.write.dynamic : kernels.write.static;
  return kernel({ h, out, ...writingOf(previous) }, { m, n, eps })[0] as Tensor;
}

function requireOutput(op: string, h: Tensor, out: Tensor, { m, n }: { m: number; n: number }): number {
  const db = segmentWidth(op, h, n);
  const expected = [...h.shape.slice(0, -1), m * db];
  requireShape(op, 'out', out, expected, 'out has the leading dimensions of h and width D = m·db');
  return db;
}

function writingOf({ staticAlpha, staticBeta, dynamic }: ConnectionParameters): Record<string, Tensor> {
  if (!dynamic) return { staticAlpha, staticBeta };
  const { normWeight, alphaFn, betaFn, alphaScale, betaScale } = dynamic;
  return { staticAlpha, staticBeta, normWeight, alphaFn, betaFn, alphaScale, betaScale };
}

function readingOf({ staticAlpha: nextStaticAlpha, dynamic }: ConnectionParameters): Record<string, Tensor> {
  if (!dynamic) return { nextStaticAlpha };
  const { normWeight: nextNormWeight, alphaFn: nextAlphaFn, alphaScale: nextAlphaScale } = dynamic;
  return { nextStaticAlpha, nextNormWeight, nextAlphaFn, nextAlphaScale };
}
