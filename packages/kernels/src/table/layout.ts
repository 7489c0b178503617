/** Kernels that move elements and leave them as they are, whatever their type: all are one strided copy. */
import { Concat, Slice, slice_util, Transpose, util, type TensorInfo } from '@tensorflow/tfjs-core';
import { sizeOf, type NativeBackend } from '../native-backend';
import { StorageType } from '../native-library';
import { nativeKernel } from '../native-kernel';
import { stockKernel } from './stock';

interface StridedView {
  readonly dims: readonly number[];
  readonly from: readonly number[];
  readonly to: readonly number[];
  readonly offsetFrom?: number;
  readonly offsetTo?: number;
}

const mostDimensions = 8;

function copy(x: TensorInfo, y: TensorInfo, view: StridedView, backend: NativeBackend): void {
  const { offsetFrom = 0, offsetTo = 0 } = view;
  const dims = view.dims.length > 0 ? view.dims : [1];
  const each = dims.flatMap((dim, d) => [dim, view.from[d] ?? 1, view.to[d] ?? 1]);
  backend.call('copy_strided', [x, y], [dims.length, offsetFrom, offsetTo, ...each]);
}

function stridesOf(shape: readonly number[]): number[] {
  const strides = shape.map(() => 1);
  for (let d = shape.length - 2; d >= 0; d--) strides[d] = (strides[d + 1] as number) * (shape[d + 1] as number);
  return strides;
}

/** Whether the native copy can take it: no strings, no complex numbers, few dimensions. */
function isPlain({ dtype, shape }: TensorInfo): boolean {
  return dtype !== 'string' && dtype !== 'complex64' && shape.length <= mostDimensions;
}

/** A tensor like x (dtype and storage), of another shape. */
function like(x: TensorInfo, shape: readonly number[], backend: NativeBackend): TensorInfo {
  return { ...backend.output(shape, backend.typeOf(x)), dtype: x.dtype };
}

const transpose = nativeKernel<'x', { perm: number[] }>(Transpose, ['copy_strided'], (call) => {
  const { inputs, attrs, backend } = call;
  const { x } = inputs;
  if (!isPlain(x)) return stockKernel(Transpose, call);
  const strides = stridesOf(x.shape);
  const dims = attrs.perm.map((d) => x.shape[d] as number);
  const y = like(x, dims, backend);
  const from = attrs.perm.map((d) => strides[d] as number);
  copy(x, y, { dims, from, to: stridesOf(dims) }, backend);
  return y;
});

const slice = nativeKernel<'x', { begin: number[]; size: number[] }>(Slice, ['copy_strided'], (call) => {
  const { inputs, attrs, backend } = call;
  const { x } = inputs;
  if (!isPlain(x)) return stockKernel(Slice, call);
  const [begin, dims] = slice_util.parseSliceParams(x as never, attrs.begin, attrs.size) as [number[], number[]];
  slice_util.assertParamsValid(x as never, begin, dims);
  const y = like(x, dims, backend);
  const from = stridesOf(x.shape);
  const offsetFrom = begin.reduce((sum, at, d) => sum + at * (from[d] as number), 0);
  if (sizeOf(dims) > 0) copy(x, y, { dims, from, to: stridesOf(dims), offsetFrom }, backend);
  return y;
});

const concat = nativeKernel<string, { axis: number }>(Concat, ['copy_strided'], (call) => {
  const { inputs, attrs, backend } = call;
  const all = Object.values(inputs);
  const parts = all.filter(({ shape }) => sizeOf(shape) > 0);
  const first = parts[0];
  const dtypes = new Set(all.map(({ dtype }) => dtype));
  if (!first || parts.length === 1 || dtypes.size > 1 || !parts.every(isPlain)) return stockKernel(Concat, call);
  const axis = util.parseAxisParam(attrs.axis, first.shape)[0] as number;
  const same = parts.every(
    ({ shape }) => shape.every((dim, d) => d === axis || dim === first.shape[d]) && shape.length === first.shape.length,
  );
  if (!same) return stockKernel(Concat, call);
  const shape = first.shape.map((dim, d) =>
    d === axis ? parts.reduce((sum, p) => sum + (p.shape[d] as number), 0) : dim,
  );
  const types = new Set(parts.map((part) => backend.typeOf(part)));
  const storage = types.size === 1 ? backend.typeOf(first) : StorageType.f32;
  const stored = parts.map((each) => backend.stored(each, storage));
  const y = { ...backend.output(shape, storage), dtype: first.dtype };
  const to = stridesOf(shape);
  let offsetTo = 0;
  for (const part of stored) {
    copy(part, y, { dims: part.shape, from: stridesOf(part.shape), to, offsetTo }, backend);
    offsetTo += (part.shape[axis] as number) * (to[axis] as number);
  }
  return y;
});

export const layoutKernels = [transpose, slice, concat];
