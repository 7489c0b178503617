import { reshape, type Tensor } from '@tensorflow/tfjs-core';
import { defineKernel } from '../kernel';
import { KernelName } from '../kernel-names';
import { matmul } from './internal/matmul';
import { lastOf, requireFloat, requireFloats, requireLast, rowsOf } from './internal/shapes';

type Inputs = 'x' | 'weight';

const gradKernel = defineKernel<Inputs | 'dy', object>({
  name: KernelName.LinearGrad,
  inputs: ['x', 'weight', 'dy'],
  composed: ({ x, weight, dy }) => {
    const [out = 0, width = 0] = weight.shape;
    const dy2d = reshape(dy, [rowsOf(dy), out]);
    const x2d = reshape(x, [rowsOf(x), width]);
    return [reshape(matmul(dy2d, weight), x.shape), matmul(dy2d, x2d, true, false)];
  },
});

const kernel = defineKernel<Inputs, object>({
  name: KernelName.Linear,
  inputs: ['x', 'weight'],
  composed: ({ x, weight }) => {
    const [out = 0, width = 0] = weight.shape;
    return reshape(matmul(reshape(x, [rowsOf(x), width]), weight, false, true), [...x.shape.slice(0, -1), out]);
  },
  gradient: {
    backward: ([dy], { x, weight }) => {
      const [dx, dWeight] = gradKernel({ x, weight, dy: dy as Tensor }, {});
      return { x: dx as Tensor, weight: dWeight as Tensor };
    },
  },
});

/**
 * `y = x Wᵀ`: x [..., in], weight [out, in] (as PyTorch's `nn.Linear`, no bias) → [..., out].
 * @throws ShapeError
 */
export function linear(x: Tensor, weight: Tensor): Tensor {
  requireFloat('linear', 'x', x);
  requireFloats('linear', 'weight', weight, [null, null], 'A weight is [out, in]');
  requireLast('linear', 'x', x, lastOf(weight), 'The last dimension of x is the `in` of a weight [out, in]');
  return kernel({ x, weight }, {})[0] as Tensor;
}
