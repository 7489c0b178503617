import { add, mean, mul, reshape, rsqrt, square, sub, type Tensor } from '@tensorflow/tfjs-core';
import { defineKernel } from '../kernel';
import { KernelName } from '../kernel-names';
import { requireEpsilon } from '../arguments';
import { sumRows } from './internal/reductions';
import { lastOf, requireFloat, requireFloats, rowsOf } from './internal/shapes';

type Inputs = 'x' | 'weight';
interface Attrs {
  readonly eps: number;
}

/** Reciprocal root mean square of each row: x [rows, D] → [rows, 1]. */
export function reciprocalRms(x: Tensor, eps: number): Tensor {
  return rsqrt(add(mean(square(x), -1, true), eps));
}

/**
 * Gradient of `x̂ = x·s`, s = reciprocalRms(x), on rows: with g = dx̂, `dx = s·(g − x̂·mean(g·x̂))`.
 * All [rows, D] but s, [rows, 1].
 */
export function normalizedGradient(g: Tensor, xHat: Tensor, s: Tensor): Tensor {
  return mul(s, sub(g, mul(xHat, mean(mul(g, xHat), -1, true))));
}

/** The composed norm, off the tape: x [..., D], weight [D]. */
export function composedRmsNorm(x: Tensor, weight: Tensor, eps: number): Tensor {
  const x2d = reshape(x, [rowsOf(x), lastOf(x)]);
  return reshape(mul(mul(x2d, reciprocalRms(x2d, eps)), weight), x.shape);
}

/** Its gradients: those of x, in the shape of x, and of the weight. */
export function composedRmsNormGradients(x: Tensor, weight: Tensor, dy: Tensor, eps: number): [Tensor, Tensor] {
  const rows = [rowsOf(x), lastOf(x)];
  const x2d = reshape(x, rows);
  const dy2d = reshape(dy, rows);
  const s = reciprocalRms(x2d, eps);
  const xHat = mul(x2d, s);
  return [reshape(normalizedGradient(mul(dy2d, weight), xHat, s), x.shape), sumRows(mul(dy2d, xHat))];
}

const gradKernel = defineKernel<Inputs | 'dy', Attrs>({
  name: KernelName.RmsNormGrad,
  inputs: ['x', 'weight', 'dy'],
  composed: ({ x, weight, dy }, { eps }) => composedRmsNormGradients(x, weight, dy, eps),
});

const kernel = defineKernel<Inputs, Attrs>({
  name: KernelName.RmsNorm,
  inputs: ['x', 'weight'],
  composed: ({ x, weight }, { eps }) => composedRmsNorm(x, weight, eps),
  gradient: {
    backward: ([dy], { x, weight }, _outputs, attrs) => {
      const [dx, dWeight] = gradKernel({ x, weight, dy: dy as Tensor }, attrs);
      return { x: dx as Tensor, weight: dWeight as Tensor };
    },
  },
});

/**
 * Root mean square norm over the last axis: `y = x / sqrt(mean(x²) + eps) · weight`; x [..., D], weight [D].
 * @throws ShapeError; ConfigError when eps cannot be one
 */
export function rmsNorm(x: Tensor, weight: Tensor, eps: number): Tensor {
  requireFloat('rmsNorm', 'x', x);
  requireFloats('rmsNorm', 'weight', weight, [lastOf(x)], 'One weight for each element of the last axis of x');
  requireEpsilon('rmsNorm', 'eps', eps);
  return kernel({ x, weight }, { eps })[0] as Tensor;
}
