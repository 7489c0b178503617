import { KernelName } from '@vwn/core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { nativeKernel, type NativeKernel } from '../native-kernel';
import type { NativeBackend } from '../native-backend';
import { lastOf, rowsOf } from './shapes';

/** All inputs whose name is `prefix` and a number, in order. */
const numbered = (inputs: Readonly<Record<string, TensorInfo>>, prefix: string) =>
  Object.keys(inputs).flatMap((_, i) => inputs[`${prefix}${i}`] ?? []);

const outOf = ({ shape: [out = 0] }: TensorInfo) => out;
const numbers = (backend: NativeBackend, x: TensorInfo, weights: readonly TensorInfo[]) => [
  rowsOf(x),
  lastOf(x),
  +(backend.precision === 'bf16'),
  ...weights.map(outOf),
];

/** `y_i = x W_iᵀ`, x [..., in], W_i [out_i, in]. */
export function multiply(backend: NativeBackend, x: TensorInfo, weights: readonly TensorInfo[]): TensorInfo[] {
  const ys = weights.map((weight) => backend.output([...x.shape.slice(0, -1), outOf(weight)], backend.activationType));
  const rounded = weights.map((weight) => backend.rounded(weight));
  backend.call('linears', [x, ...rounded, ...ys], numbers(backend, x, weights));
  return ys;
}

/** dx, which is one sum of products never stored apart, and the gradient of each weight. */
export function multiplyGrad(
  backend: NativeBackend,
  x: TensorInfo,
  weights: readonly TensorInfo[],
  dys: readonly TensorInfo[],
): TensorInfo[] {
  const gradients = [
    backend.output(x.shape, backend.activationType),
    ...weights.map((weight) => backend.output(weight.shape)),
  ];
  const rounded = weights.map((weight) => backend.rounded(weight));
  backend.call('linears_grad', [x, ...rounded, ...dys, ...gradients], numbers(backend, x, weights));
  return gradients;
}

function forward(name: string): NativeKernel {
  return nativeKernel<string>(name, ['linears'], ({ inputs, backend }) =>
    multiply(backend, inputs.x as TensorInfo, numbered(inputs, 'weight')),
  );
}

function backward(name: string): NativeKernel {
  return nativeKernel<string>(name, ['linears_grad'], ({ inputs, backend }) =>
    multiplyGrad(backend, inputs.x as TensorInfo, numbered(inputs, 'weight'), numbered(inputs, 'dy')),
  );
}

export const linearsKernels = [
  forward(KernelName.LinearPair),
  backward(KernelName.LinearPairGrad),
  forward(KernelName.LinearTriple),
  backward(KernelName.LinearTripleGrad),
];
