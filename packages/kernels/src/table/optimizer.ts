import { KernelName } from '@vwn/core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { NativeBackend, Operand } from '../native-backend';
import { nativeKernel } from '../native-kernel';
import { StorageType } from '../native-library';
import { mostOperands } from './shapes';

interface UpdateAttrs {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  /** Of each tensor, which of the factors are its own. */
  readonly rows: readonly number[];
}

/** √(Σ squares) of all operands: of many, the norm of the norms of parts. */
function normOf(operands: readonly Operand[], backend: NativeBackend): TensorInfo {
  const parts: TensorInfo[] = [];
  for (let from = 0; from < operands.length; from += mostOperands) {
    const norm = backend.output([]);
    backend.call('global_norm', [...operands.slice(from, from + mostOperands), norm], []);
    parts.push(norm);
  }
  const [first] = parts;
  if (first && parts.length === 1) return first;
  const norm = normOf(parts, backend);
  for (const part of parts) backend.disposeIntermediateTensorInfo(part);
  return norm;
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
    const shared = operands.slice(4 * rows.length);
    for (let from = 0; from < rows.length; from += mostOperands / 5) {
      const part = rows.slice(from, from + mostOperands / 5);
      const ofPart = operands.slice(4 * from, 4 * (from + part.length));
      // Some have a fifth: the rounded copy that products read is written with the weight.
      const rounded = part.map((_, t) => backend.roundedToWrite(ofPart[4 * t] as Operand));
      const isRounded = part.flatMap((_, t) => (rounded[t] ? [t] : []));
      const copies = rounded.filter((copy) => copy !== undefined);
      const numbers = [part.length, beta1, beta2, eps, ...part, ...isRounded];
      backend.call('adamw', [...ofPart, ...shared, ...copies], numbers);
    }
    return [];
  }),
  nativeKernel<string>(KernelName.GlobalNorm, ['global_norm'], ({ inputs, backend }): TensorInfo => {
    const operands = Object.values(inputs).map((each) => backend.stored(each, StorageType.f32));
    return normOf(operands, backend);
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
