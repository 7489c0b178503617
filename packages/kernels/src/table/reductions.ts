import { Mean, Sum, util, type TensorInfo } from '@tensorflow/tfjs-core';
import { sizeOf, type NativeBackend } from '../native-backend';
import { nativeKernel, type KernelCall } from '../native-kernel';
import { stockKernel } from './stock';

interface Attrs {
  readonly axis: number | number[];
  readonly keepDims: boolean;
}

/** Sum over neighbouring axes, times a factor, in float32; undefined where only the stock kernel can do it. */
function reduce(
  x: TensorInfo,
  { axis, keepDims }: Attrs,
  isMean: boolean,
  backend: NativeBackend,
): TensorInfo | undefined {
  if (x.dtype !== 'float32') return undefined;
  const axes = util.parseAxisParam(axis, x.shape).sort((a, b) => a - b);
  const [first = 0] = axes;
  if (axes.length === 0 || !axes.every((each, i) => each === first + i)) return undefined;
  const end = first + axes.length;
  const [outer, count, inner] = [x.shape.slice(0, first), x.shape.slice(first, end), x.shape.slice(end)].map(sizeOf);
  const shape = keepDims
    ? x.shape.map((dim, d) => (d >= first && d < end ? 1 : dim))
    : [...x.shape.slice(0, first), ...x.shape.slice(end)];
  const y = backend.output(shape);
  const numbers = [outer, count, inner, isMean ? 1 / (count as number) : 1] as number[];
  backend.call('sum_axis', [x, y], numbers);
  return y;
}

/** The stock kernel divides before it adds, so what it has for a mean of no numbers is 0. Here that is NaN in every dtype. */
function stockMean(call: KernelCall<'x', Attrs>): TensorInfo {
  const y = stockKernel(Mean, call);
  if (sizeOf(call.inputs.x.shape) > 0 || sizeOf(y.shape) === 0) return y;
  call.backend.disposeIntermediateTensorInfo(y);
  return call.backend.makeTensorInfo(y.shape, 'float32', new Float32Array(sizeOf(y.shape)).fill(NaN));
}

/** Sum and Mean of float32 over neighbouring axes. */
export const reductionKernels = [
  nativeKernel<'x', Attrs>(
    Sum,
    ['sum_axis'],
    (call) => reduce(call.inputs.x, call.attrs, false, call.backend) ?? stockKernel(Sum, call),
  ),
  nativeKernel<'x', Attrs>(
    Mean,
    ['sum_axis'],
    (call) => reduce(call.inputs.x, call.attrs, true, call.backend) ?? stockMean(call),
  ),
];
