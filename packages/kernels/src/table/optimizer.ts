import { KernelName } from '@vwn/core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { nativeKernel } from '../native-kernel';
import { StorageType } from '../native-library';

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
    const numbers = [tensors.length / 4, lr, beta1, beta2, eps, gradScale, ...perTensor];
    // Weights and moments change in place, and are float32 always; only gradients (the second of four) may be bf16.
    const operands = tensors.map((each, i) => (i % 4 === 1 ? backend.stored(each, StorageType.f32) : each));
    backend.call('adamw', operands, numbers);
    return [];
  }),
  nativeKernel<string>(KernelName.GlobalNorm, ['global_norm'], ({ inputs, backend }): TensorInfo => {
    const norm = backend.output([]);
    const operands = Object.values(inputs).map((each) => backend.stored(each, StorageType.f32));
    backend.call('global_norm', [...operands, norm], []);
    return norm;
  }),
];
