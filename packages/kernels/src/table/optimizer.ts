import { KernelName } from '@vwn/core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { nativeKernel } from '../native-kernel';
import { StorageType } from '../native-library';

interface UpdateAttrs {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  /** Of each tensor, which of the factors are its own. */
  readonly rows: readonly number[];
}

/** The first two take any number of tensors, in the order of the input map. */
export const optimizerKernels = [
  nativeKernel<string, UpdateAttrs>(KernelName.AdamWAll, ['adamw'], ({ inputs, attrs, backend }) => {
    const { beta1, beta2, eps, rows } = attrs;
    // Four a tensor, then factors and gradScale. Weights and moments change in place: of gradients (the second of four),
    // which do not, a copy will do.
    const operands = Object.values(inputs).map((each, i) =>
      i % 4 === 1 ? backend.stored(each, StorageType.f32) : each,
    );
    operands.forEach((each, i) => i % 4 === 1 || backend.storeAsFloats(each));
    backend.call('adamw', operands, [rows.length, beta1, beta2, eps, ...rows]);
    return [];
  }),
  nativeKernel<string>(KernelName.GlobalNorm, ['global_norm'], ({ inputs, backend }): TensorInfo => {
    const norm = backend.output([]);
    const operands = Object.values(inputs).map((each) => backend.stored(each, StorageType.f32));
    backend.call('global_norm', [...operands, norm], []);
    return norm;
  }),
  nativeKernel<'norm' | 'loss', { readonly maxNorm: number }>(
    KernelName.ClipScale,
    ['clip_scale'],
    ({ inputs: { norm, loss }, attrs, backend }): TensorInfo => {
      const scale = backend.output([]);
      const operands = [norm, loss].map((each) => backend.stored(each, StorageType.f32));
      backend.call('clip_scale', [...operands, scale], [attrs.maxNorm]);
      return scale;
    },
  ),
];
