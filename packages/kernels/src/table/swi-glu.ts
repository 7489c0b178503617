import { KernelName } from '@vwn/core';
import { sizeOf } from '../native-backend';
import { nativeKernel } from '../native-kernel';

export const swiGluKernels = [
  nativeKernel<'gate' | 'up'>(KernelName.SwiGlu, ['swiglu'], ({ inputs: { gate, up }, backend }) => {
    const type = backend.activationType;
    const stored = [gate, up].map((each) => backend.stored(each, type));
    const y = backend.output(gate.shape, type);
    backend.call('swiglu', [...stored, y], [sizeOf(gate.shape)]);
    return y;
  }),
  nativeKernel<'gate' | 'up' | 'dy'>(
    KernelName.SwiGluGrad,
    ['swiglu_grad'],
    ({ inputs: { gate, up, dy }, backend }) => {
      const type = backend.activationType;
      const stored = [gate, up, dy].map((each) => backend.stored(each, type));
      const grads = [backend.output(gate.shape, type), backend.output(gate.shape, type)];
      backend.call('swiglu_grad', [...stored, ...grads], [sizeOf(gate.shape)]);
      return grads;
    },
  ),
];
