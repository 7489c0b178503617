import { KernelName } from '@vwn/core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { nativeKernel, type NativeKernel } from '../native-kernel';
import { lastOf, rowsOf } from './shapes';

/** All inputs whose name is `prefix` and a number, in order. */
const numbered = (inputs: Readonly<Record<string, TensorInfo>>, prefix: string) =>
  Object.keys(inputs).flatMap((_, i) => inputs[`${prefix}${i}`] ?? []);

function forward(name: string): NativeKernel {
  return nativeKernel<string>(name, ['matmul'], ({ inputs, backend }) => {
    const x = inputs.x as TensorInfo;
    return numbered(inputs, 'weight').map((weight) => {
      const [out = 0, width = 0] = weight.shape;
      const y = backend.output([...x.shape.slice(0, -1), out], backend.activationType);
      backend.call('matmul', [x, weight, y], [rowsOf(x), out, width, 0, 1, +(backend.precision === 'bf16'), 1, 0, 0]);
      return y;
    });
  });
}

function backward(name: string): NativeKernel {
  return nativeKernel<string>(name, ['matmul', 'matmul_sum'], ({ inputs, backend }) => {
    const x = inputs.x as TensorInfo;
    const [weights, dys] = [numbered(inputs, 'weight'), numbered(inputs, 'dy')];
    const [rows, width, halves] = [rowsOf(x), lastOf(x), +(backend.precision === 'bf16')];
    const outs = weights.map(({ shape: [out = 0] }) => out);
    const dx = backend.output(x.shape, backend.activationType);
    const terms = weights.flatMap((weight, i) => [dys[i] as TensorInfo, weight]);
    backend.call('matmul_sum', [...terms, dx], [rows, width, halves, ...outs]);
    const dWeights = weights.map((weight, i) => {
      const dWeight = backend.output(weight.shape);
      const numbers = [outs[i] as number, width, rows, 1, 0, halves, 1, 0, 0];
      backend.call('matmul', [dys[i] as TensorInfo, x, dWeight], numbers);
      return dWeight;
    });
    return [dx, ...dWeights];
  });
}

/** `y_i = x W_iᵀ`: gradients of x are one sum of products, never stored apart. */
export const linearsKernels = [
  forward(KernelName.LinearPair),
  backward(KernelName.LinearPairGrad),
  forward(KernelName.LinearTriple),
  backward(KernelName.LinearTripleGrad),
];
