import { getKernel, type KernelFunc, type TensorInfo } from '@tensorflow/tfjs-core';
import type { KernelCall } from '../native-kernel';

/** tfjs's own CPU kernel on the same memory, for what a native one does not cover. */
export function stockKernel<R extends TensorInfo | TensorInfo[] = TensorInfo>(
  name: string,
  call: KernelCall<string, unknown>,
): R {
  return (getKernel(name, 'cpu')?.kernelFunc as KernelFunc)(call as never) as R;
}
