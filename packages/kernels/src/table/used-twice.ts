import { KernelName } from '@vwn/core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { nativeKernel } from '../native-kernel';
import { StorageType } from '../native-library';
import { mostOperands } from './shapes';

/** Tensors for two uses on the same memory, and the sums of pairs of gradients, all in one call. */
export const usedTwiceKernels = [
  nativeKernel<string>(KernelName.UsedTwice, [], ({ inputs, backend }): TensorInfo[] =>
    [0, 1].flatMap(() => Object.values(inputs).map((each) => backend.shared(each))),
  ),
  nativeKernel<string>(KernelName.AddPairs, ['add_pairs', 'convert'], ({ inputs, backend }): TensorInfo[] => {
    const operands = Object.values(inputs).map((each) => backend.stored(each, StorageType.f32));
    const sums = operands.flatMap(({ shape }, i) => (i % 2 === 0 ? backend.output(shape) : []));
    const ofCall = Math.floor(mostOperands / 3);
    for (let from = 0; from < sums.length; from += ofCall) {
      const here = sums.slice(from, from + ofCall);
      backend.call('add_pairs', [...operands.slice(2 * from, 2 * (from + here.length)), ...here], [here.length]);
    }
    return sums;
  }),
];
