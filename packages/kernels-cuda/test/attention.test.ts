import { describe, expect, it } from 'vitest';
import {
  cudaDevice,
  expectSame,
  randomOperand,
  result,
  runOnCuda,
  type Operand,
  type Storage,
} from './support/both-libraries';

/** B, T, S, H, K, d. */
const shapes: readonly (readonly number[])[] = [
  [1, 1, 1, 1, 1, 1],
  [2, 7, 7, 2, 2, 5],
  [1, 33, 33, 2, 1, 32],
  [1, 3, 70, 4, 2, 40],
  [2, 65, 65, 1, 1, 8],
  [1, 5, 9, 3, 3, 130],
  [0, 4, 4, 1, 1, 4],
  // In bf16 by tensor cores: tiles of 64 queries and keys, ragged at either end, heads padded to 32, 64 or 128 columns.
  [1, 64, 64, 1, 1, 64],
  [2, 130, 130, 2, 1, 64],
  [1, 20, 150, 4, 2, 128],
  [1, 70, 70, 2, 2, 96],
  [1, 65, 129, 3, 1, 16],
  // More queries than a block has, and steps that some of its warps see nothing of.
  [1, 200, 200, 1, 1, 24],
  [1, 150, 310, 2, 1, 72],
  // By warpgroups: several blocks and steps of which one row is left over, in 64 columns and in 128; steps of which the first 64
  // queries of a block see nothing, or the last 64 one key; three query heads to a key head.
  [1, 257, 257, 1, 1, 64],
  [1, 257, 257, 1, 1, 128],
  [1, 128, 129, 1, 1, 128],
  [1, 129, 200, 3, 1, 64],
  [1, 129, 193, 6, 2, 40],
  // Gradients of queries from several blocks of keys, the last of which have few: of one query head, and of two to a key head.
  [1, 390, 390, 1, 1, 64],
  [1, 260, 390, 2, 1, 128],
  [2, 66, 450, 2, 1, 40],
];

/** As the emulation has where nothing else is said; GPUs of data centres have more. */
const hasLittleSharedMemory = () =>
  (cudaDevice().startsWith('emulated') && (process.env.VWN_EMULATED_SHARED ?? '99') === '99') ||
  (cudaDevice().startsWith('interpreter') && process.env.VWN_INTERPRETED_CAPABILITY === '86');

/** Both libraries must make the same of them, and the same gradients of that. */
function expectSameBothWays(operands: readonly Operand[], storage: Storage, shape: readonly number[]) {
  const [B, T, S, H, K, d] = shape as [number, number, number, number, number, number];
  const [ofQ, ofK] = [B * T * H * d, B * S * K * d];
  const forward = [...operands, result(ofQ, storage), result(B * H * T)];
  expectSame('causal_attention', forward, shape);
  const [y = [], logSums = []] = runOnCuda('causal_attention', forward, shape).slice(3);
  const dy = randomOperand(ofQ, storage, 9);
  const known: Operand[] = [{ storage, values: y }, dy, { storage: 'f32', values: logSums }];
  const results = [ofQ, ofK, ofK].map((size) => result(size, storage));
  // Of one key the softmax is 1 whatever the score: rounding is all that dq and dk are made of.
  if (S > 1) expectSame('causal_attention_grad', [...operands, ...known, ...results], shape);
}

describe.each<Storage>(['f32', 'bf16'])('causal attention in %s', (storage) => {
  it.each(shapes)('B %i, T %i, S %i, H %i, K %i, d %i, and its gradients', (...shape) => {
    const [B, T, S, H, K, d] = shape as [number, number, number, number, number, number];
    const sizes = [B * T * H * d, B * S * K * d, B * S * K * d];
    const operands = sizes.map((size, i) => randomOperand(size, storage, i + 1, 2));
    expectSameBothWays(operands, storage, shape);
  });

  // As many more keys than queries as leave one query and one key to a step, or to its half, in one kernel or another.
  it.each([
    [128, 129, 64],
    [128, 129, 128],
    [70, 101, 128],
    [129, 129, 64],
  ])('misses no key that a query sees last and looks at most: T %i, S %i, d %i', (T, S, d) => {
    const [q, k, v] = [T, S, S].map((rows, i) => randomOperand(rows * d, storage, i + 1)) as [
      Operand,
      Operand,
      Operand,
    ];
    const own = Array.from(q.values, (each) => (18 / Math.sqrt(d)) * each);
    const keys = { storage, values: [...Array.from(k.values).slice(0, (S - T) * d), ...own] };
    expectSameBothWays([q, keys, v], storage, [1, T, S, 1, 1, d]);
  });
});

describe('causal attention', () => {
  it('is unmoved by scores of any size', () => {
    const operands = [64, 64, 64].map((size, i) => randomOperand(size, 'f32', i + 1, 100));
    expectSame('causal_attention', [...operands, result(64), result(8)], [1, 8, 8, 1, 1, 8], 1e-4);
  });

  it.each<[Storage, number]>([
    ['f32', 8],
    ['bf16', 8],
    ['bf16', 64],
    ['bf16', 128],
  ])('keeps NaN of a query from keys that it does not see, in %s, heads of %i columns', (storage, d) => {
    const shape = [1, 8, 8, 1, 1, d];
    const [q, k, v, dy] = [1, 2, 3, 4].map((seed) => randomOperand(8 * d, storage, seed)) as [
      Operand,
      Operand,
      Operand,
      Operand,
    ];
    const broken = { ...q, values: Float32Array.from(q.values, (each, i) => (i === 5 * d + 3 ? Number.NaN : each)) };
    const forward = [broken, k, v, result(8 * d, storage), result(8)];
    expectSame('causal_attention', forward, shape);
    const [y = [], logSums = []] = runOnCuda('causal_attention', forward, shape).slice(3);
    const known: Operand[] = [{ storage, values: y }, dy, { storage: 'f32', values: logSums }];
    const results = Array.from({ length: 3 }, () => result(8 * d, storage));
    expectSame('causal_attention_grad', [broken, k, v, ...known, ...results], shape);
    const [, dk, dv] = runOnCuda('causal_attention_grad', [broken, k, v, ...known, ...results], shape).slice(6);
    expect(dv?.slice(6 * d).every(Number.isFinite)).toBe(true);
    expect(dk?.slice(6 * d).filter((each) => !Number.isFinite(each))).toHaveLength(2); // of q's own column
  });

  it('refuses gradients of heads that fit shared memory forwards only, as with 99 KiB, and makes them where there is more', () => {
    const shape = [1, 3, 3, 1, 1, 250];
    const [q, k, v, dy] = [1, 2, 3, 4].map((seed) => randomOperand(750, 'f32', seed)) as [
      Operand,
      Operand,
      Operand,
      Operand,
    ];
    const [y = [], logSums = []] = runOnCuda('causal_attention', [q, k, v, result(750), result(3)], shape).slice(3);
    const known: Operand[] = [{ storage: 'f32', values: y }, dy, { storage: 'f32', values: logSums }];
    const results = Array.from({ length: 3 }, () => result(750));
    const gradients = () => expectSame('causal_attention_grad', [q, k, v, ...known, ...results], shape);
    if (hasLittleSharedMemory()) expect(gradients).toThrow('wider than this GPU’s');
    else gradients();
  });

  it.each([
    ['query heads that key heads do not divide', [1, 2, 2, 3, 2, 4], 'heads or lengths do not fit together'],
    ['fewer keys than queries', [1, 3, 2, 1, 1, 4], 'heads or lengths do not fit together'],
    ['heads wider than shared memory', [1, 1, 1, 1, 1, 300], 'wider than this GPU’s shared memory takes'],
    ['more heads than a launch takes', [65536, 1, 1, 1, 1, 1], 'takes at most 65535 heads'],
  ])('refuses %s', (_, shape, text) => {
    const [B, T, S, H, K, d] = shape as unknown as [number, number, number, number, number, number];
    const sizes = [B * T * H * d, B * S * K * d, B * S * K * d, B * T * H * d, B * H * T];
    const operands = sizes.map((size) => randomOperand(size));
    expect(() => runOnCuda('causal_attention', operands, [B, T, S, H, K, d])).toThrow(text);
  });
});
