import type { Tensor } from '@tensorflow/tfjs-core';
import { ShapeError } from '../../errors';

/** Checks one tensor's shape; a dimension given as `null` may have any size. @throws ShapeError naming op and tensor. */
export function requireShape(
  op: string,
  name: string,
  tensor: Tensor,
  shape: readonly (number | null)[],
  hint?: string,
): void {
  const fits = tensor.rank === shape.length && shape.every((size, i) => size === null || size === tensor.shape[i]);
  if (!fits) throw mismatch(op, name, `[${shape.map((size) => size ?? '*').join(', ')}]`, tensor, hint);
}

/** Checks that the last dimension has a size; any dimensions may stand before it. @throws ShapeError */
export function requireLast(op: string, name: string, tensor: Tensor, size: number, hint?: string): void {
  if (tensor.rank < 1 || tensor.shape[tensor.rank - 1] !== size)
    throw mismatch(op, name, `[..., ${size}]`, tensor, hint);
}

/** @throws ShapeError unless the tensor is float32. */
export function requireFloat(op: string, name: string, tensor: Tensor): void {
  requireType(op, name, tensor, 'float32');
}

/** {@link requireShape} of a tensor that is float32. @throws ShapeError */
export function requireFloats(
  op: string,
  name: string,
  tensor: Tensor,
  shape: readonly (number | null)[],
  hint?: string,
): void {
  requireFloat(op, name, tensor);
  requireShape(op, name, tensor, shape, hint);
}

/** @throws ShapeError unless the tensor is int32. */
export function requireInteger(op: string, name: string, tensor: Tensor): void {
  requireType(op, name, tensor, 'int32');
}

/** Arrays and what was left out come from callers without types. */
function requireType(op: string, name: string, tensor: Tensor | undefined, dtype: 'float32' | 'int32'): void {
  if (tensor?.dtype === dtype) return;
  if (tensor?.dtype === undefined)
    throw new ShapeError(`${op}: ${name} is not a tensor`, { expected: dtype, hint: 'Make one with tf.tensor' });
  throw new ShapeError(`${op}: ${name} has the wrong dtype`, {
    expected: dtype,
    got: tensor.dtype,
    hint: `Convert it with tf.cast(${name}, '${dtype}')`,
  });
}

function mismatch(op: string, name: string, expected: string, tensor: Tensor, hint?: string): ShapeError {
  return new ShapeError(`${op}: ${name} has the wrong shape`, {
    expected,
    got: `[${tensor.shape.join(', ')}]`,
    ...(hint === undefined ? {} : { hint }),
  });
}

/** Size of the last dimension. */
export function lastOf(tensor: Tensor): number {
  return tensor.shape[tensor.rank - 1] as number;
}

/** Number of rows when all but the last dimension are flattened. */
export function rowsOf(tensor: Tensor): number {
  return tensor.shape.slice(0, -1).reduce((product, size) => product * size, 1);
}
