import { Add, AddN, broadcast_util, Multiply, RealDiv, Sub, type TensorInfo } from '@tensorflow/tfjs-core';
import { KernelName } from '@vwn/core';
import { sizeOf, type NativeBackend } from '../native-backend';
import { StorageType } from '../native-library';
import { nativeKernel } from '../native-kernel';
import { stockKernel } from './stock';

const operations = { [Add]: 0, [Sub]: 1, [Multiply]: 2, [RealDiv]: 3 } as const;
const mostDimensions = 8;

/** One dimension of the result, and the steps of both operands along it. */
interface Dimension {
  readonly size: number;
  readonly a: number;
  readonly b: number;
}

/** Steps of an operand along the dimensions of the result: 0 where it is repeated. */
function stepsOf(shape: readonly number[], rank: number): number[] {
  const steps = new Array<number>(rank).fill(0);
  let step = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    if (shape[d] !== 1) steps[rank - shape.length + d] = step;
    step *= shape[d] as number;
  }
  return steps;
}

/** The result's dimensions, those merged that both operands run through in one go; the last has steps 0 or 1. */
export function broadcastPlan(a: readonly number[], b: readonly number[], result: readonly number[]): Dimension[] {
  const [stepsA, stepsB] = [stepsOf(a, result.length), stepsOf(b, result.length)];
  const plan: Dimension[] = [];
  for (let d = result.length - 1; d >= 0; d--) {
    const next = { size: result[d] as number, a: stepsA[d] as number, b: stepsB[d] as number };
    if (next.size === 1) continue;
    const inner = plan[0];
    const merges = inner && next.a === inner.a * inner.size && next.b === inner.b * inner.size;
    if (inner && merges) plan[0] = { size: next.size * inner.size, a: inner.a, b: inner.b };
    else plan.unshift(next);
  }
  const last = plan[plan.length - 1];
  if (!last || last.a > 1 || last.b > 1) plan.push({ size: 1, a: 0, b: 0 });
  return plan;
}

/** bf16 only where every operand is: a sum with a float32 loses nothing. */
function storageOf(operands: readonly TensorInfo[], backend: NativeBackend): StorageType {
  return operands.every((each) => backend.typeOf(each) === StorageType.bf16) ? StorageType.bf16 : StorageType.f32;
}

function apply(operation: number, a: TensorInfo, b: TensorInfo, backend: NativeBackend): TensorInfo | undefined {
  if (a.dtype !== 'float32' || b.dtype !== 'float32') return undefined;
  const shape = broadcast_util.assertAndGetBroadcastShape(a.shape, b.shape);
  const plan = sizeOf(shape) > 0 ? broadcastPlan(a.shape, b.shape, shape) : [{ size: 0, a: 0, b: 0 }];
  if (plan.length > mostDimensions) return undefined;
  const storage = storageOf([a, b], backend);
  const stored = [a, b].map((each) => backend.stored(each, storage));
  const y = backend.output(shape, storage);
  const dimensions = plan.flatMap((each) => [each.size, each.a, each.b]);
  backend.call('binary', [...stored, y], [operation, plan.length, ...dimensions]);
  return y;
}

/** A number 1 of JavaScript's, as tfjs begins gradients with. */
function isOne({ dataId, shape }: TensorInfo, backend: NativeBackend): boolean {
  return sizeOf(shape) === 1 && backend.dataOf(dataId).valuesOfJavaScript?.[0] === 1;
}

/** A gradient that is there already, times what comes from behind: mostly 1, and then itself, on the same memory. */
const scaleGradient = nativeKernel<'x' | 'by'>(
  KernelName.ScaleGradient,
  ['binary', 'convert'],
  ({ inputs: { x, by }, backend }) =>
    isOne(by, backend) ? backend.shared(x) : (apply(operations[Multiply], x, by, backend) as TensorInfo),
);

const addN = nativeKernel<string>(AddN, ['binary'], (call) => {
  const tensors = Object.values(call.inputs);
  const { backend } = call;
  const isPlain =
    tensors.length > 1 && tensors.every(({ dtype, shape }) => dtype === 'float32' && shape.length <= mostDimensions);
  if (!isPlain) return stockKernel(AddN, call);
  return tensors.reduce((total, each, i) => {
    const sum = apply(operations[Add], total, each, backend) as TensorInfo;
    if (i > 1) backend.disposeIntermediateTensorInfo(total);
    return sum;
  });
});

/** Add, Sub, Multiply, RealDiv and AddN of float32 with any broadcast; integers are the stock kernels'. */
export const arithmeticKernels = [
  ...Object.entries(operations).map(([name, operation]) =>
    nativeKernel<'a' | 'b'>(
      name,
      ['binary', 'convert'],
      (call) => apply(operation, call.inputs.a, call.inputs.b, call.backend) ?? stockKernel(name, call),
    ),
  ),
  addN,
  scaleGradient,
];
