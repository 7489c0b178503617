import { KernelName } from '@vwn/core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { nativeKernel } from '../native-kernel';

interface UpdateAttrs {
  readonly lr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly gradScale: number;
  /** Weight decay and step of each tensor, one after the other. */
  readonly perTensor: readonly number[];
}

/** Both take any number of tensors, in the order of the input map. */
export const optimizerKernels = [
  nativeKernel<string, UpdateAttrs>(KernelName.AdamWAll, ['adamw'], ({ inputs, attrs, backend }) => {
    const { lr, beta1, beta2, eps, gradScale, perTensor } = attrs;
    const tensors = Object.values(inputs);
    backend.call('adamw', tensors, [tensors.length / 4, lr, beta1, beta2, eps, gradScale, ...perTensor]);
    return [];
  }),
  nativeKernel<string>(KernelName.GlobalNorm, ['global_norm'], ({ inputs, backend }): TensorInfo => {
    const norm = backend.output([]);
    backend.call('global_norm', [...Object.values(inputs), norm], []);
    return norm;
  }),
];
