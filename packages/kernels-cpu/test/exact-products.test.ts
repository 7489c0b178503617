/**
 * Products of small whole numbers: exact in float32 and in bf16, in whatever order they are summed. So any shape must give
 * every element to the last bit, however the matrix is cut into tiles.
 */
import * as tf from '@tensorflow/tfjs-core';
import { StorageType } from '@vwn/kernels';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { describeNative, nativeBackend } from './support/native';

interface Shape {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly transposed: readonly [boolean, boolean];
  /** How A, B and the result are stored, and whether operands may be rounded to bf16. */
  readonly stored: readonly [boolean, boolean, boolean];
  readonly halves: boolean;
}

/** Up to two blocks in each direction, most of them small, with the sizes around whole tiles as likely as any. */
const size = (most: number) =>
  fc.oneof(
    fc.integer({ min: 1, max: 40 }),
    fc.integer({ min: 1, max: most }),
    fc
      .tuple(fc.constantFrom(16, 32, 48, 64, 128, 256), fc.integer({ min: -1, max: 1 }))
      .map(([tiles, by]) => tiles + by),
  );
const flag = fc.boolean();
const shapes: fc.Arbitrary<Shape> = fc.record({
  M: size(300),
  N: size(560),
  K: size(1100),
  transposed: fc.tuple(flag, flag),
  stored: fc.tuple(flag, flag, flag),
  halves: flag,
});

/** −3 … 3, so that the longest sum stays far below 2²⁴. */
const numbers = (count: number, seed: number) =>
  Float32Array.from({ length: count }, (_, i) => ((Math.imul(i + seed, 2654435761) >>> 16) % 7) - 3);

function inStorage(values: Float32Array, isHalf: boolean): tf.TensorInfo {
  const tensor = tf.tensor1d(values);
  if (!isHalf) return tensor;
  const halves = nativeBackend().output([values.length], StorageType.bf16);
  nativeBackend().call('convert', [tensor, halves], [values.length]);
  tensor.dispose();
  return halves;
}

function expected({ M, N, K, transposed: [ta, tb] }: Shape, a: Float32Array, b: Float32Array): Float32Array {
  const c = new Float32Array(M * N);
  for (let i = 0; i < M; i++)
    for (let k = 0; k < K; k++) {
      const left = a[ta ? k * M + i : i * K + k] as number;
      for (let j = 0; j < N; j++) (c[i * N + j] as number) += left * (b[tb ? j * K + k : k * N + j] as number);
    }
  return c;
}

describeNative('a product of whole numbers', () => {
  it('is exact in any shape, transposed or not, stored and multiplied in float32 or bf16', () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const { M, N, K, transposed, stored, halves } = shape;
        const [a, b] = [numbers(M * K, 1), numbers(K * N, 7)];
        const operands = [inStorage(a, stored[0]), inStorage(b, stored[1])];
        const c = nativeBackend().output([M, N], stored[2] ? StorageType.bf16 : StorageType.f32);
        nativeBackend().call('matmul', [...operands, c], [M, N, K, ...transposed.map(Number), Number(halves), 1, 0, 0]);
        const result = inStorage(expected(shape, a, b), stored[2]);
        const read = (x: tf.TensorInfo) => nativeBackend().readSync(x.dataId) as Float32Array;
        expect(Buffer.compare(Buffer.from(read(c).buffer), Buffer.from(read(result).buffer))).toBe(0);
        for (const each of [...operands, c, result]) nativeBackend().disposeData(each.dataId, true);
      }),
      { numRuns: 150 },
    );
  });
});
