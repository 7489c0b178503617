import { KernelName } from '@vwn/core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { sizeOf, type NativeBackend, type Operand } from '../native-backend';
import { nativeKernel } from '../native-kernel';
import { StorageType } from '../native-library';

interface Attrs {
  readonly n: number;
  readonly eps: number;
}

type Inputs = Readonly<Record<'hidden' | 'embed' | 'hiddenNorm' | 'embedNorm' | 'mix', TensorInfo>>;

const functions = ['rms_norm', 'rms_norm_grad', 'copy_strided', 'matmul', 'convert'];

/** Segments of all tokens as rows of db. */
function rowsOf({ hidden, hiddenNorm }: Inputs): { rows: number; db: number } {
  const [db = 0] = hiddenNorm.shape;
  return { rows: sizeOf(hidden.shape) / db, db };
}

/** Copies [rows, db] to or from one half of [rows, 2db]. */
function copyHalf(
  from: Operand,
  to: Operand,
  { rows, db }: { rows: number; db: number },
  half: number,
  backend: NativeBackend,
) {
  const isJoin = sizeOf(to.shape) > sizeOf(from.shape);
  const [stepFrom, stepTo] = isJoin ? [db, 2 * db] : [2 * db, db];
  const [offsetFrom, offsetTo] = isJoin ? [0, half * db] : [half * db, 0];
  backend.call('copy_strided', [from, to], [2, offsetFrom, offsetTo, rows, stepFrom, stepTo, db, 1, 1]);
}

/** [norm(hidden segment) ; norm(embed segment)], [rows, 2db]. */
function normalizedPairs(inputs: Inputs, stored: readonly Operand[], eps: number, backend: NativeBackend): TensorInfo {
  const { rows, db } = rowsOf(inputs);
  const pairs = backend.output([rows, 2 * db], backend.activationType);
  const weights = [inputs.hiddenNorm, inputs.embedNorm];
  stored.slice(0, 2).forEach((x, half) => {
    const normalized = backend.output([rows, db], backend.activationType);
    backend.call(
      'rms_norm',
      [x, backend.stored(weights[half] as Operand, StorageType.f32), normalized],
      [rows, 1, db, eps],
    );
    copyHalf(normalized, pairs, { rows, db }, half, backend);
    backend.disposeIntermediateTensorInfo(normalized);
  });
  return pairs;
}

const forward = nativeKernel<keyof Inputs, Attrs>(KernelName.BlockMix, functions, ({ inputs, attrs, backend }) => {
  const { rows, db } = rowsOf(inputs);
  const type = backend.activationType;
  const stored = [inputs.hidden, inputs.embed].map((each) => backend.stored(each, type));
  const pairs = normalizedPairs(inputs, stored, attrs.eps, backend);
  const z = backend.output(inputs.hidden.shape, type);
  const halves = +(backend.precision === 'bf16');
  backend.call('matmul', [pairs, backend.rounded(inputs.mix), z], [rows, db, 2 * db, 0, 1, halves, 1, 0, 0]);
  backend.disposeIntermediateTensorInfo(pairs);
  return z;
});

const backward = nativeKernel<keyof Inputs | 'dz', Attrs>(
  KernelName.BlockMixGrad,
  functions,
  ({ inputs, attrs, backend }) => {
    const { rows, db } = rowsOf(inputs);
    const type = backend.activationType;
    const halves = +(backend.precision === 'bf16');
    const stored = [inputs.hidden, inputs.embed, inputs.dz].map((each) => backend.stored(each, type));
    const [hidden, embed, dz] = stored as [Operand, Operand, Operand];
    const pairs = normalizedPairs(inputs, stored, attrs.eps, backend);
    const dPairs = backend.output([rows, 2 * db], type);
    const dMix = backend.output(inputs.mix.shape);
    backend.call('matmul', [dz, backend.rounded(inputs.mix), dPairs], [rows, 2 * db, db, 0, 0, halves, 1, 0, 0]);
    backend.call('matmul', [dz, pairs, dMix], [db, 2 * db, rows, 1, 0, halves, 1, 0, 0]);
    const sides = [
      { x: hidden, weight: inputs.hiddenNorm },
      { x: embed, weight: inputs.embedNorm },
    ].map(({ x, weight }, half) => {
      const [up, dx, dWeight] = [backend.output([rows, db], type), backend.output(x.shape, type), backend.output([db])];
      copyHalf(dPairs, up, { rows, db }, half, backend);
      backend.call(
        'rms_norm_grad',
        [x, backend.stored(weight, StorageType.f32), up, dx, dWeight],
        [rows, 1, db, attrs.eps],
      );
      backend.disposeIntermediateTensorInfo(up);
      return [dx, dWeight] as const;
    });
    for (const each of [pairs, dPairs]) backend.disposeIntermediateTensorInfo(each);
    const [[dHidden, dHiddenNorm], [dEmbed, dEmbedNorm]] = sides as [(typeof sides)[0], (typeof sides)[0]];
    return [dHidden, dEmbed, dHiddenNorm, dEmbedNorm, dMix];
  },
);

/** Block-wise mixing of a multi-token head (§3.4): two norms, one product with W_mix for all segments. */
export const blockMixKernels = [forward, backward];
