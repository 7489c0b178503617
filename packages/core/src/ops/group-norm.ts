import { add, mean, mul, reshape, rsqrt, square, sub, type Tensor } from '@tensorflow/tfjs-core';
import { ShapeError } from '../errors';
import { defineKernel } from '../kernel';
import { KernelName } from '../kernel-names';
import { requireEpsilon } from '../arguments';
import { sumRows } from './internal/reductions';
import { lastOf, requireFloat, requireFloats, rowsOf } from './internal/shapes';
import { normalizedGradient, reciprocalRms } from './rms-norm';

interface Attrs {
  readonly groupSize: number;
  readonly eps: number;
}

/** [..., G·groupSize] → [rows·G, groupSize]. */
function groups(x: Tensor, groupSize: number): Tensor {
  return reshape(x, [(rowsOf(x) * lastOf(x)) / groupSize, groupSize]);
}

/** [..., W] → [rows, W]. */
function rows(x: Tensor): Tensor {
  return reshape(x, [rowsOf(x), lastOf(x)]);
}

const rmsGradKernel = defineKernel<'x' | 'weight' | 'dy', Attrs>({
  name: KernelName.GroupRmsNormGrad,
  inputs: ['x', 'weight', 'dy'],
  composed: ({ x, weight, dy }, { groupSize, eps }) => {
    const grouped = groups(x, groupSize);
    const s = reciprocalRms(grouped, eps);
    const xHat = mul(grouped, s);
    const scaled = groups(mul(rows(dy), weight), groupSize);
    const dWeight = sumRows(mul(rows(dy), reshape(xHat, rows(dy).shape)));
    return [reshape(normalizedGradient(scaled, xHat, s), x.shape), dWeight];
  },
});

const rmsKernel = defineKernel<'x' | 'weight', Attrs>({
  name: KernelName.GroupRmsNorm,
  inputs: ['x', 'weight'],
  composed: ({ x, weight }, { groupSize, eps }) => {
    const grouped = groups(x, groupSize);
    const xHat = mul(grouped, reciprocalRms(grouped, eps));
    return reshape(mul(reshape(xHat, [rowsOf(x), lastOf(x)]), weight), x.shape);
  },
  gradient: {
    backward: ([dy], { x, weight }, _outputs, attrs) => {
      const [dx, dWeight] = rmsGradKernel({ x, weight, dy: dy as Tensor }, attrs);
      return { x: dx as Tensor, weight: dWeight as Tensor };
    },
  },
});

/** Centred and scaled groups, and the reciprocal standard deviation: x̂ [rows·G, groupSize], s [rows·G, 1]. */
function standardize(x: Tensor, { groupSize, eps }: Attrs): { xHat: Tensor; s: Tensor } {
  const grouped = groups(x, groupSize);
  const centred = sub(grouped, mean(grouped, -1, true));
  const s = rsqrt(add(mean(square(centred), -1, true), eps));
  return { xHat: mul(centred, s), s };
}

const layerGradKernel = defineKernel<'x' | 'weight' | 'dy', Attrs>({
  name: KernelName.GroupLayerNormGrad,
  inputs: ['x', 'weight', 'dy'],
  composed: ({ x, weight, dy }, attrs) => {
    const { xHat, s } = standardize(x, attrs);
    const scaled = groups(mul(rows(dy), weight), attrs.groupSize);
    const dx = normalizedGradient(sub(scaled, mean(scaled, -1, true)), xHat, s);
    return [reshape(dx, x.shape), sumRows(mul(rows(dy), reshape(xHat, rows(dy).shape))), sumRows(rows(dy))];
  },
});

const layerKernel = defineKernel<'x' | 'weight' | 'bias', Attrs>({
  name: KernelName.GroupLayerNorm,
  inputs: ['x', 'weight', 'bias'],
  composed: ({ x, weight, bias }, attrs) => {
    const { xHat } = standardize(x, attrs);
    return reshape(add(mul(reshape(xHat, [rowsOf(x), lastOf(x)]), weight), bias), x.shape);
  },
  gradient: {
    backward: ([dy], { x, weight }, _outputs, attrs) => {
      const [dx, dWeight, dBias] = layerGradKernel({ x, weight, dy: dy as Tensor }, attrs);
      return { x: dx as Tensor, weight: dWeight as Tensor, bias: dBias as Tensor };
    },
  },
});

/**
 * Root mean square norm in groups of `groupSize` (the reduce operator's default, §3.2 **[choice]** `rms`):
 * x [..., G·groupSize], per-channel weight [G·groupSize].
 * @throws ShapeError; ConfigError when eps cannot be one
 */
export function groupRmsNorm(x: Tensor, weight: Tensor, groupSize: number, eps: number): Tensor {
  checkGroups('groupRmsNorm', x, weight, { groupSize, eps });
  return rmsKernel({ x, weight }, { groupSize, eps })[0] as Tensor;
}

/**
 * GroupNorm to the letter: mean and variance in groups of `groupSize`, per-channel weight and bias [G·groupSize].
 * @throws ShapeError; ConfigError when eps cannot be one
 */
export function groupLayerNorm(x: Tensor, weight: Tensor, bias: Tensor, groupSize: number, eps: number): Tensor {
  checkGroups('groupLayerNorm', x, weight, { groupSize, eps });
  requireFloats('groupLayerNorm', 'bias', bias, [lastOf(x)]);
  return layerKernel({ x, weight, bias }, { groupSize, eps })[0] as Tensor;
}

function checkGroups(op: string, x: Tensor, weight: Tensor, { groupSize, eps }: Attrs): void {
  requireEpsilon(op, 'eps', eps);
  requireFloat(op, 'x', x);
  requireFloats(op, 'weight', weight, [lastOf(x)], 'One weight for each element of the last axis of x');
  if (Number.isInteger(groupSize) && groupSize > 0 && lastOf(x) % groupSize === 0) return;
  throw new ShapeError(`${op}: groups of ${groupSize} do not fill the last axis of x`, {
    expected: `a divisor of ${lastOf(x)}`,
    got: String(groupSize),
    hint: 'With a fractional n/m there is no whole number of groups: use reduce_norm "none"',
  });
}
