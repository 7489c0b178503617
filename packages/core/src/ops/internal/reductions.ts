import { ones, reshape, sum, type Tensor } from '@tensorflow/tfjs-core';
import { engine } from '@tensorflow/tfjs-core';
import { matmul } from './matmul';

/** Sum over the rows of [rows, columns] → [columns]. A product with a row of ones where matrix products are the fast path. */
export function sumRows(x: Tensor): Tensor {
  const [rows = 0, columns = 0] = x.shape;
  if (engine().backendName !== 'wasm' || rows === 0) return sum(x, 0);
  return reshape(matmul(ones([1, rows]), x), [columns]);
}
