import type { TensorInfo } from '@tensorflow/tfjs-core';
import { sizeOf } from '../native-backend';

/** Of one native call, which takes 21844 less a third of its numbers, and some shared ones; a mixture of many experts has more tensors. */
export const mostOperands = 16000;

export function lastOf({ shape }: TensorInfo): number {
  return shape[shape.length - 1] as number;
}

/** Product of all dimensions but the last. */
export function rowsOf({ shape }: TensorInfo): number {
  return sizeOf(shape.slice(0, -1));
}
