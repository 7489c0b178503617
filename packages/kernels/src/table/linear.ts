import { KernelName } from '@vwn/core';
import { nativeKernel } from '../native-kernel';
import { multiply, multiplyGrad } from './linears';

/** `y = x Wᵀ`, x [..., in], W [out, in]: one product, operands in their own storage, rounded to bf16 under bf16. */
export const linearKernels = [
  nativeKernel<'x' | 'weight'>(KernelName.Linear, ['linears'], ({ inputs: { x, weight }, backend }) =>
    multiply(backend, x, [weight]),
  ),
  nativeKernel<'x' | 'weight' | 'dy'>(KernelName.LinearGrad, ['linears_grad'], ({ inputs, backend }) =>
    multiplyGrad(backend, inputs.x, [inputs.weight], [inputs.dy]),
  ),
];
