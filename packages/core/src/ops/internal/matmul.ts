/**
 * Matrix products by the path that is fast on the current backend. tfjs's wasm backend gives plain 2-D products to
 * XNNPACK (40 GFLOP/s on one core) and everything with a flag or a batch to a general loop (2 to 3), so there 2-D
 * operands are transposed first; other backends take the flags.
 */
import { engine, matMul, reshape, transpose, zeros, type Tensor } from '@tensorflow/tfjs-core';

const onWasm = () => engine().backendName === 'wasm';

/** Product of two matrices with optional transposes. */
export function matmul(a: Tensor, b: Tensor, transposeA = false, transposeB = false): Tensor {
  if (a.size === 0 || b.size === 0) return emptyProduct(a, b, transposeA, transposeB);
  if (!onWasm()) return matMul(a, b, transposeA, transposeB);
  return matMul(transposeA ? transposed(a) : a, transposeB ? transposed(b) : b);
}

/** Product of two stacks of matrices, [P, ., .] each. */
export function batchMatmul(a: Tensor, b: Tensor, transposeA = false, transposeB = false): Tensor {
  if (a.size === 0 || b.size === 0) return emptyProduct(a, b, transposeA, transposeB);
  return matMul(a, b, transposeA, transposeB);
}

/** Products `aᵀ b` of one a [rows, k] with several b [rows, c]: where a is transposed explicitly, it is so once. */
export function leftTransposed(a: Tensor): (b: Tensor) => Tensor {
  if (!onWasm() || a.size === 0) return (b) => matmul(a, b, true, false);
  const aTransposed = transposed(a);
  return (b) => matMul(aTransposed, b);
}

/** `tf.transpose` that also takes tensors without elements, at which tfjs's wasm backend divides by zero. */
export function permute(x: Tensor, axes: number[]): Tensor {
  if (x.size > 0) return transpose(x, axes);
  return reshape(
    x,
    axes.map((axis) => x.shape[axis] as number),
  );
}

/** No rows, or sums over none: XNNPACK refuses those and would leave the result uninitialised. */
function emptyProduct(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor {
  const rows = a.shape[a.rank - (transposeA ? 1 : 2)] as number;
  const columns = b.shape[b.rank - (transposeB ? 2 : 1)] as number;
  return zeros([...a.shape.slice(0, -2), rows, columns]);
}

/**
 * Transpose of a matrix. tfjs's wasm loop strides through memory (7 ns an element once rows fill the cache), so large
 * ones go in blocks of rows: each block on its own, then whole blocks into place (2.5 ns).
 */
function transposed(x: Tensor): Tensor {
  const [rows = 0, columns = 0] = x.shape;
  const block = [64, 32, 16].find((size) => rows % size === 0 && rows > size);
  if (block === undefined || x.size < 1 << 16) return transpose(x);
  const blocks = transpose(reshape(x, [rows / block, block, columns]), [0, 2, 1]);
  return reshape(transpose(blocks, [1, 0, 2]), [columns, rows]);
}
