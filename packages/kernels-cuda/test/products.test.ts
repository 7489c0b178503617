import { describe, expect, it } from 'vitest';
import {
  asHalves,
  expectRounding,
  expectSame,
  randomOperand,
  result,
  runOnCuda,
  type Operand,
  type Storage,
} from './support/both-libraries';

const storages: Storage[] = ['f32', 'bf16'];
/** Of A and B. */
const transpositions = [
  [0, 0],
  [0, 1],
  [1, 0],
  [1, 1],
] as const;

describe('matmul', () => {
  const shapes = [
    [0, 3, 2],
    [3, 2, 0],
    [1, 1, 1],
    [65, 70, 33],
    [5, 130, 17],
  ] as const;
  for (const [M, N, K] of shapes)
    it(`${M}×${K} by ${K}×${N}, either transposed, in every mix of storages`, () => {
      for (const [ta, tb] of transpositions)
        for (const [a, b, c] of [
          ['f32', 'f32', 'f32'],
          ['bf16', 'f32', 'bf16'],
          ['bf16', 'bf16', 'f32'],
        ] as const)
          expectSame(
            'matmul',
            [randomOperand(M * K, a), randomOperand(K * N, b, 2), result(M * N, c)],
            [M, N, K, ta, tb, 0, 1, 0, 0],
          );
    });

  it('rounds operands to bf16 where halves are asked for', () => {
    expectRounding(
      'matmul',
      [randomOperand(20 * 48), randomOperand(48 * 30, 'f32', 2), result(600)],
      [20, 30, 48, 0, 0, 1, 1, 0, 0],
    );
  });

  // Few tiles and many, whole ones and not; rows on 16 bytes in both operands, in one, or in none; K within a slice and beyond.
  for (const [M, N, K] of [
    [1, 1, 1],
    [3, 200, 0],
    [64, 64, 32],
    [8, 72, 136],
    [128, 136, 64],
    [136, 264, 40],
    [130, 257, 33],
    [200, 129, 100],
    [66, 258, 72],
  ] as const)
    it(`${M}×${K} by ${K}×${N} of bf16, or rounded to it, either transposed, is added up in float32`, () => {
      for (const [ta, tb] of transpositions)
        for (const [a, b, c] of [
          ['bf16', 'bf16', 'bf16'],
          ['bf16', 'f32', 'f32'],
          ['f32', 'bf16', 'f32'],
          ['f32', 'f32', 'bf16'],
        ] as const) {
          const [left, right] = [asHalves(randomOperand(M * K, a)), asHalves(randomOperand(K * N, b, 2))];
          const tolerance = c === 'f32' ? 2e-5 : 1e-2;
          expectSame('matmul', [left, right, result(M * N, c)], [M, N, K, ta, tb, 1, 1, 0, 0], tolerance);
        }
    });

  it.each<[number, number, number]>([
    [6, 5, 24],
    [7, 9, 3],
    [72, 136, 40],
  ])('repeats either operand of bf16, %i×K by K×%i with K = %i, along a batch, or walks both', (M, N, K) => {
    const batch = 3;
    const [a, b] = [randomOperand(batch * M * K, 'bf16'), randomOperand(batch * K * N, 'bf16', 2)];
    const [oneA, oneB] = [randomOperand(M * K, 'bf16'), randomOperand(K * N, 'bf16', 2)];
    const c = result(batch * M * N);
    expectSame('matmul', [a, b, c], [M, N, K, 0, 0, 1, batch, M * K, K * N], 2e-5);
    expectSame('matmul', [oneA, b, c], [M, N, K, 0, 1, 1, batch, 0, K * N], 2e-5);
    expectSame('matmul', [a, oneB, c], [M, N, K, 1, 1, 1, batch, M * K, 0], 2e-5);
  });

  it('keeps NaN and infinities of bf16 to rows that have them', () => {
    const [M, N, K] = [70, 9, 40];
    const left = randomOperand(M * K, 'bf16');
    const values = Float32Array.from(left.values);
    values[3 * K + 39] = Number.NaN;
    values[69 * K] = Infinity;
    const right = { storage: 'bf16', values: new Array<number>(K * N).fill(1) } as const;
    expectSame('matmul', [{ storage: 'bf16', values }, right, result(M * N)], [M, N, K, 0, 0, 0, 1, 0, 0], 2e-5);
  });

  it('repeats either operand along a batch, or walks both', () => {
    const [M, N, K, batch] = [3, 4, 5, 6];
    const [a, b] = [randomOperand(batch * M * K), randomOperand(batch * K * N, 'f32', 2)];
    const [oneA, oneB] = [randomOperand(M * K), randomOperand(K * N, 'f32', 2)];
    const c = result(batch * M * N);
    expectSame('matmul', [a, b, c], [M, N, K, 0, 0, 0, batch, M * K, K * N]);
    expectSame('matmul', [oneA, b, c], [M, N, K, 0, 0, 0, batch, 0, K * N]);
    expectSame('matmul', [a, oneB, c], [M, N, K, 1, 1, 0, batch, M * K, 0]);
  });

  it('refuses matrices of a batch that do not lie one after the other', () => {
    const operands = [randomOperand(12), randomOperand(6), result(8)];
    expect(() => runOnCuda('matmul', operands, [2, 2, 3, 0, 0, 0, 2, 5, 0])).toThrow('must lie one after the other');
  });
});

describe('linears', () => {
  const [rows, width, outs] = [37, 20, [5, 1, 40]];
  const weights = outs.map((out, i) => randomOperand(out * width, 'f32', i + 9));

  it.each<Storage>(['f32', 'bf16'])('multiplies x by several weights into %s', (storage) => {
    const operands = [randomOperand(rows * width, storage), ...weights];
    expectSame('linears', [...operands, ...outs.map((out) => result(rows * out, storage))], [rows, width, 0, ...outs]);
  });

  it.each<Storage>(['f32', 'bf16'])('sums what goes back to x of %s, and gives each weight its gradient', (storage) => {
    const operands = [randomOperand(rows * width, storage), ...weights];
    const dys = outs.map((out, i) => randomOperand(rows * out, storage, i + 20));
    const results = [result(rows * width, storage), ...outs.map((out) => result(out * width))];
    expectSame('linears_grad', [...operands, ...dys, ...results], [rows, width, 0, ...outs]);
  });

  it('multiplies and sums what is rounded to bf16, of many rows', () => {
    const [many, wide, sizes] = [150, 136, [72, 200]];
    const operands = [
      randomOperand(many * wide, 'bf16'),
      ...sizes.map((out, i) => asHalves(randomOperand(out * wide, 'f32', i + 9))),
    ];
    const ys = sizes.map((out) => result(many * out, 'bf16'));
    expectSame('linears', [...operands, ...ys], [many, wide, 1, ...sizes]);
    const dys = sizes.map((out, i) => randomOperand(many * out, 'bf16', i + 20));
    const results = [result(many * wide, 'bf16'), ...sizes.map((out) => result(out * wide))];
    expectSame('linears_grad', [...operands, ...dys, ...results], [many, wide, 1, ...sizes]);
  });

  it('gives a weight without outputs, or rows without any, what a sum of nothing is', () => {
    const one = randomOperand(6, 'f32', 1);
    expectSame('linears_grad', [one, result(0), result(0), result(6), result(0)], [2, 3, 0, 0]);
    expectSame('linears_grad', [result(0), one, result(0), result(0), result(6)], [0, 3, 0, 2]);
  });

  it('refuses a call without a weight, or without all results, or of more weights than a launch takes', () => {
    const one = randomOperand(1);
    const calls = [
      ['linears', 3, 2],
      ['linears_grad', 6, 2],
    ] as const;
    for (const [name, buffers, count] of calls)
      expect(() =>
        runOnCuda(name, new Array<Operand>(buffers).fill(one), [1, 1, 0, ...new Array<number>(count).fill(1)]),
      ).toThrow('a weight or more, and results for each are needed');
    expect(() =>
      runOnCuda('linears_grad', new Array<Operand>(29).fill(one), [1, 1, 0, ...new Array<number>(9).fill(1)]),
    ).toThrow('at most 8 weights');
  });
});

describe('linear_cross_entropy', () => {
  const integers = (values: readonly number[]): Operand => ({ storage: 'i32', values });

  it.each([
    [0, 4, 5],
    [1, 1, 1],
    [9, 7, 300],
    [70, 3, 11],
    [150, 3, 100],
    [130, 5, 64],
    [3, 8, 2088],
    [70, 72, 264],
  ])(
    'of %i rows, width %i and %i words, and its gradients, without the ignored index, in several chunks where they are many',
    (N, D, V) => {
      const targets = integers(Array.from({ length: N }, (_, i) => (i === 3 ? -100 : (7 * i) % V)));
      for (const storage of storages)
        for (const halves of [0, 1]) {
          const drawn = [randomOperand(N * D, storage, 1, 2), randomOperand(V * D, 'f32', 2, 2)] as const;
          const [hidden, weight] = halves ? [asHalves(drawn[0]), asHalves(drawn[1])] : drawn;
          const numbers = [N, D, V, -100, halves];
          const tolerance = storage === 'f32' && halves === 0 ? 2e-5 : 1e-2;
          expectSame('linear_cross_entropy', [hidden, weight, targets, result(N), result(N)], numbers, tolerance);
          const logSumExp = {
            storage: 'f32',
            values: runOnCuda(
              'linear_cross_entropy',
              [hidden, weight, targets, result(N), result(N)],
              numbers,
            )[4] as Float64Array,
          } as const;
          const gradient = [
            hidden,
            weight,
            targets,
            logSumExp,
            randomOperand(N, 'f32', 5),
            result(N * D, storage),
            result(V * D),
          ];
          expectSame('linear_cross_entropy_grad', gradient, numbers, tolerance);
          const mean = [hidden, weight, targets, result(1), result(N * D, storage), result(V * D)];
          expectSame('mean_cross_entropy', mean, numbers, tolerance);
        }
    },
  );

  it.each([3, 16])('makes NaN of rows with NaN or infinite logits, and only of these: %i words', (V) => {
    const hidden = { storage: 'f32', values: [1, Number.NaN, Infinity, 2] } as const;
    const [weight, targets] = [randomOperand(V), integers([0, 1, 2, 2])];
    expectSame('linear_cross_entropy', [hidden, weight, targets, result(4), result(4)], [4, 1, V, -100, 0]);
    const mean = [hidden, weight, targets, result(1), result(4), result(V)];
    expectSame('mean_cross_entropy', mean, [4, 1, V, -100, 0]);
  });

  it('takes logits that are far apart, of which a later one is the largest', () => {
    const weight = { storage: 'f32', values: Array.from({ length: 4096 }, (_, i) => (i * 37) % 4096) } as const;
    const hidden = { storage: 'f32', values: [1, -1, 20, 0] } as const;
    const operands = [hidden, weight, integers([4095, 0, 5, 9]), result(4), result(4)];
    expectSame('linear_cross_entropy', operands, [4, 1, 4096, -100, 0]);
  });

  it('tells of a target that is no word, and refuses a vocabulary of none', () => {
    const call = (target: number, V: number) =>
      runOnCuda(
        'linear_cross_entropy',
        [randomOperand(2), randomOperand(2 * V), integers([target]), result(1), result(1)],
        [1, 2, V, -100, 0],
      );
    expect(() => call(3, 3)).toThrow('a target is outside the vocabulary, and must be 0 … V − 1 or the ignored index');
    expect(() => call(0, 0)).toThrow('a vocabulary of no words has no cross-entropy');
    expect(call(-100, 3)[3]).toEqual(Float64Array.of(0));
  });
});
