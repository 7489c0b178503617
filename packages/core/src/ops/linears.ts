import { add, reshape, type Tensor } from '@tensorflow/tfjs-core';
import { defineKernel, type KernelCall } from '../kernel';
import { KernelName } from '../kernel-names';
import { matmul } from './internal/matmul';
import { lastOf, requireFloat, requireFloats, requireLast, rowsOf } from './internal/shapes';
import { linear } from './linear';

type Inputs = Record<string, Tensor>;

const indices = (count: number) => Array.from({ length: count }, (_, i) => i);
const weightsOf = (inputs: Inputs, count: number) => indices(count).map((i) => inputs[`weight${i}`] as Tensor);
const named = (prefix: string, tensors: readonly Tensor[]) =>
  Object.fromEntries(tensors.map((each, i) => [`${prefix}${i}`, each]));

function product(x: Tensor, weight: Tensor): Tensor {
  const [out = 0, width = 0] = weight.shape;
  return reshape(matmul(reshape(x, [rowsOf(x), width]), weight, false, true), [...x.shape.slice(0, -1), out]);
}

function gradients(inputs: Inputs, count: number): Tensor[] {
  const x = inputs.x as Tensor;
  const x2d = reshape(x, [rowsOf(x), lastOf(x)]);
  const weights = weightsOf(inputs, count);
  const dys = weights.map(({ shape: [out = 0] }, i) => reshape(inputs[`dy${i}`] as Tensor, [rowsOf(x), out]));
  const dx = dys.map((dy, i) => matmul(dy, weights[i] as Tensor)).reduce((sum, each) => add(sum, each));
  return [reshape(dx, x.shape), ...dys.map((dy) => matmul(dy, x2d, true, false))];
}

function define(count: number, name: string, gradName: string): KernelCall<string, object> {
  const inputs = ['x', ...indices(count).map((i) => `weight${i}`)];
  const gradKernel = defineKernel<string, object>({
    name: gradName,
    inputs: [...inputs, ...indices(count).map((i) => `dy${i}`)],
    composed: (all) => gradients(all, count),
  });
  return defineKernel<string, object>({
    name,
    inputs,
    composed: (all) => weightsOf(all, count).map((weight) => product(all.x as Tensor, weight)),
    gradient: {
      backward: (dys, all) => {
        const [dx, ...dWeights] = gradKernel({ ...all, ...named('dy', dys) }, {});
        return { x: dx as Tensor, ...named('weight', dWeights) };
      },
    },
  });
}

const kernels: Readonly<Record<number, KernelCall<string, object>>> = {
  2: define(2, KernelName.LinearPair, KernelName.LinearPairGrad),
  3: define(3, KernelName.LinearTriple, KernelName.LinearTripleGrad),
};

/**
 * `y_i = x W_iᵀ` for weights that multiply the same x [..., in], such as those of queries, keys and values: each weight
 * [out_i, in] → [..., out_i]. A native backend sums the gradients of x in one product.
 * @throws ShapeError
 */
export function linears(x: Tensor, weights: readonly Tensor[]): Tensor[] {
  requireFloat('linears', 'x', x);
  weights.forEach((weight, i) => {
    requireFloats('linears', `weights[${i}]`, weight, [null, null], 'A weight is [out, in]');
    requireLast('linears', 'x', x, lastOf(weight), 'The last dimension of x is the `in` of a weight [out, in]');
  });
  const kernel = kernels[weights.length];
  return kernel ? kernel({ x, ...named('weight', weights) }, {}) : weights.map((weight) => linear(x, weight));
}
