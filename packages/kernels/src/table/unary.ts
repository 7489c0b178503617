import { Exp, Neg, Rsqrt, Sigmoid, Sqrt, Square, Tanh } from '@tensorflow/tfjs-core';
import { sizeOf } from '../native-backend';
import { nativeKernel } from '../native-kernel';
import { stockKernel } from './stock';

const operations = { [Square]: 0, [Sqrt]: 1, [Rsqrt]: 2, [Exp]: 3, [Neg]: 4, [Sigmoid]: 5, [Tanh]: 6 } as const;

/** Functions of float32 tensors, stored as their operand is; other types are the stock kernels'. */
export const unaryKernels = Object.entries(operations).map(([name, operation]) =>
  nativeKernel<'x'>(name, ['unary'], (call) => {
    const { inputs, backend } = call;
    const { x } = inputs;
    if (x.dtype !== 'float32') return stockKernel(name, call);
    const y = backend.output(x.shape, backend.typeOf(x));
    backend.call('unary', [x, y], [sizeOf(x.shape), operation]);
    return y;
  }),
);
