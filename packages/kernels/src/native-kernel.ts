import type { KernelFunc, NamedAttrMap, TensorInfo } from '@tensorflow/tfjs-core';
import type { NativeBackend } from './native-backend';

/** What a row of the table gets. `I` names the kernel's inputs, `A` its attributes. */
export interface KernelCall<I extends string, A> {
  readonly inputs: Readonly<Record<I, TensorInfo>>;
  readonly attrs: A;
  readonly backend: NativeBackend;
}

/** One row of the table: a tfjs kernel, the C functions that it needs, and the shape logic in between. */
export interface NativeKernel {
  readonly kernelName: string;
  /** Functions of the library that it calls; a library without one of them is refused when the backend opens. */
  readonly functions: readonly string[];
  readonly kernelFunc: KernelFunc;
}

/** A row with typed inputs and attributes. */
export function nativeKernel<I extends string, A = object>(
  kernelName: string,
  functions: readonly string[],
  run: (call: KernelCall<I, A>) => TensorInfo | TensorInfo[],
): NativeKernel {
  return {
    kernelName,
    functions,
    kernelFunc: ({ inputs, attrs, backend: given }) => {
      const backend = given as NativeBackend;
      const call = {
        inputs: inputs as unknown as Record<I, TensorInfo>,
        attrs: attrs as NamedAttrMap as unknown as A,
        backend,
      };
      return backend.runKernel(() => run(call));
    },
  };
}
