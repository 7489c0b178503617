import { Add, AddN, Multiply, RealDiv, Sub, type TensorInfo } from '@tensorflow/tfjs-core';
import { sizeOf, type NativeBackend } from '../native-backend';
import { StorageType } from '../native-library';
import { nativeKernel } from '../native-kernel';
import { stockKernel } from './stock';

const operations = { [Add]: 0, [Sub]: 1, [Multiply]: 2, [RealDiv]: 3 } as const;

/**
 * The shape and periods of two tensors that are equal in shape, or of which one repeats along leading dimensions of the
 * other; undefined for any other broadcast.
 */
function repeated(a: readonly number[], b: readonly number[]) {
  const [long, short] = a.length >= b.length && sizeOf(a) >= sizeOf(b) ? [a, b] : [b, a];
  const own = short.slice(short.findIndex((each) => each !== 1));
  const tail = sizeOf(short) === 1 ? [] : own;
  const fits = tail.every((each, i) => each === long[long.length - tail.length + i]) && short.length <= long.length;
  return fits ? { shape: long, periodA: sizeOf(a), periodB: sizeOf(b) } : undefined;
}

/** bf16 only where every operand is: a sum with a float32 loses nothing. */
function storageOf(operands: readonly TensorInfo[], backend: NativeBackend): StorageType {
  return operands.every((each) => backend.typeOf(each) === StorageType.bf16) ? StorageType.bf16 : StorageType.f32;
}

function apply(operation: number, a: TensorInfo, b: TensorInfo, backend: NativeBackend): TensorInfo | undefined {
  const plan = a.dtype === 'float32' && b.dtype === 'float32' ? repeated(a.shape, b.shape) : undefined;
  if (!plan) return undefined;
  const { shape, periodA, periodB } = plan;
  const storage = storageOf([a, b], backend);
  return backend.withStorage([a, b], storage, (stored) => {
    const y = backend.output(shape, storage);
    backend.call('binary', [...stored, y], [operation, sizeOf(shape), periodA, periodB]);
    return y;
  });
}

const addN = nativeKernel<string>(AddN, ['binary'], (call) => {
  const tensors = Object.values(call.inputs);
  const { backend } = call;
  const isPlain = tensors.length > 1 && tensors.every(({ dtype }) => dtype === 'float32');
  if (!isPlain) return stockKernel(AddN, call);
  return tensors.reduce((total, each, i) => {
    const sum = apply(operations[Add], total, each, backend) as TensorInfo;
    if (i > 1) backend.disposeIntermediateTensorInfo(total);
    return sum;
  });
});

/** Add, Sub, Multiply, RealDiv and AddN of float32; integers and two-sided broadcasts are the stock kernels'. */
export const arithmeticKernels = [
  ...Object.entries(operations).map(([name, operation]) =>
    nativeKernel<'a' | 'b'>(
      name,
      ['binary', 'convert'],
      (call) => apply(operation, call.inputs.a, call.inputs.b, call.backend) ?? stockKernel(name, call),
    ),
  ),
  addN,
];
