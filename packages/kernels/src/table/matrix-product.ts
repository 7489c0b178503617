import { BatchMatMul, broadcast_util, type TensorInfo } from '@tensorflow/tfjs-core';
import { sizeOf } from '../native-backend';
import { nativeKernel } from '../native-kernel';
import { stockKernel } from './stock';

interface Attrs {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** M, N, K and the batch of a product of stacks of matrices, or undefined where only the stock kernel can do it. */
function productOf(a: TensorInfo, b: TensorInfo, { transposeA, transposeB }: Attrs) {
  const [leadA, leadB] = [a.shape.slice(0, -2), b.shape.slice(0, -2)];
  const [rowsA = 0, columnsA = 0] = a.shape.slice(-2);
  const [rowsB = 0, columnsB = 0] = b.shape.slice(-2);
  const [M, K] = transposeA ? [columnsA, rowsA] : [rowsA, columnsA];
  const [depth, N] = transposeB ? [columnsB, rowsB] : [rowsB, columnsB];
  const lead = broadcast_util.assertAndGetBroadcastShape(leadA, leadB);
  const batch = sizeOf(lead);
  const stride = (from: number[], size: number) => (sizeOf(from) === batch ? size : sizeOf(from) === 1 ? 0 : undefined);
  const [strideA, strideB] = [stride(leadA, M * K), stride(leadB, K * N)];
  const isFloat = a.dtype === 'float32' && b.dtype === 'float32';
  if (K !== depth || strideA === undefined || strideB === undefined || !isFloat) return undefined;
  return { shape: [...lead, M, N], numbers: [M, N, K, +transposeA, +transposeB, 0, batch, strideA, strideB] };
}

/** tf.matMul of any rank, in float32 whatever the precision: only the layers' own products are rounded. */
export const matrixKernels = [
  nativeKernel<'a' | 'b', Attrs>(BatchMatMul, ['matmul'], (call): TensorInfo => {
    const { inputs, attrs, backend } = call;
    const product = productOf(inputs.a, inputs.b, attrs);
    // The stock kernel repeats matrices along odd batch dimensions, and says what does not fit together.
    if (!product) return stockKernel(BatchMatMul, call);
    const y = backend.output(product.shape);
    backend.call('matmul', [inputs.a, inputs.b, y], product.numbers);
    return y;
  }),
];
