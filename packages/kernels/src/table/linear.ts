import { KernelName } from '@vwn/core';
import { nativeKernel } from '../native-kernel';
import { lastOf, rowsOf } from './shapes';

/** `y = x Wᵀ`, x [..., in], W [out, in]: one product, operands in their own storage, rounded to bf16 under bf16. */
export const linearKernels = [
  nativeKernel<'x' | 'weight'>(KernelName.Linear, ['matmul'], ({ inputs: { x, weight }, backend }) => {
    const [out = 0, width = 0] = weight.shape;
    const y = backend.output([...x.shape.slice(0, -1), out], backend.activationType);
    backend.call('matmul', [x, weight, y], [rowsOf(x), out, width, 0, 1, +(backend.precision === 'bf16'), 1, 0, 0]);
    return y;
  }),
  nativeKernel<'x' | 'weight' | 'dy'>(KernelName.LinearGrad, ['matmul'], ({ inputs: { x, weight, dy }, backend }) => {
    const [out = 0] = weight.shape;
    const [rows, width, halves] = [rowsOf(x), lastOf(x), +(backend.precision === 'bf16')];
    const dx = backend.output(x.shape, backend.activationType);
    const dWeight = backend.output(weight.shape);
    backend.call('matmul', [dy, weight, dx], [rows, width, out, 0, 0, halves, 1, 0, 0]);
    backend.call('matmul', [dy, x, dWeight], [out, width, rows, 1, 0, halves, 1, 0, 0]);
    return [dx, dWeight];
  }),
];
