import { engine, ones, reshape, sum, zeros, type Tensor } from '@tensorflow/tfjs-core';
import { matmul } from './matmul';

/** Sum over the rows of [rows, columns] → [columns]. A product with a row of ones where matrix products are the fast path. */
export function sumRows(x: Tensor): Tensor {
  const [rows = 0, columns = 0] = x.shape;
  if (rows === 0) return zeros([columns]); // wasm leaves the sum of nothing uninitialised
  if (engine().backendName !== 'wasm') return sum(x, 0);
  return reshape(matmul(ones([1, rows]), x), [columns]);
}
