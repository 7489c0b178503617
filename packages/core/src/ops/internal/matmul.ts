import { engine, matMul, transpose, type Tensor } from '@tensorflow/tfjs-core';

/**
 * Matrix product with optional transposes. tfjs's wasm backend serves only plain 2-D products with XNNPACK (40 GFLOP/s
 * where its general path has 2 to 3), so there a 2-D operand is transposed first; other backends take the flags.
 */
export function matmul(a: Tensor, b: Tensor, transposeA = false, transposeB = false): Tensor {
  if (engine().backendName === 'wasm' && a.rank === 2 && b.rank === 2)
    return matMul(transposeA ? transpose(a) : a, transposeB ? transpose(b) : b);
  return matMul(a, b, transposeA, transposeB);
}

/** Product of two stacks of matrices, [P, ., .] each. */
export function batchMatmul(a: Tensor, b: Tensor, transposeA = false, transposeB = false): Tensor {
  return matMul(a, b, transposeA, transposeB);
}
