import { describe, expect, it } from 'vitest';
import { expectSame, randomOperand, result, runOnCuda, type Operand, type Storage } from './support/both-libraries';

const storages: Storage[] = ['f32', 'bf16'];
const integers = (values: readonly number[]): Operand => ({ storage: 'i32', values });

describe.each(storages)('swiglu in %s', (storage) => {
  it.each([0, 1, 37, 600])('of %i elements, and its gradient', (size) => {
    const [gate, up, dy] = [1, 2, 3].map((seed) => randomOperand(size, storage, seed, 4)) as [
      Operand,
      Operand,
      Operand,
    ];
    expectSame('swiglu', [gate, up, result(size, storage)], [size]);
    expectSame('swiglu_grad', [gate, up, dy, result(size, storage), result(size, storage)], [size]);
  });
});

describe.each(storages)('rms_norm in %s', (storage) => {
  it.each([
    [0, 1, 4],
    [3, 1, 0],
    [1, 1, 1],
    [5, 1, 33],
    [40, 3, 8],
    [2, 2, 300],
    // Whole rows of eights: a lane has one of them or none, two of three, four, eight; more rows than warps; and too many.
    [50, 1, 64],
    [3, 1, 520],
    [41, 1, 768],
    [5, 1, 2048],
    [2, 1, 2056],
    // Groups of eights, more than a row of them.
    [50, 4, 64],
    [9, 3, 264],
    [3, 8, 1024],
  ])('%i rows of %i groups of %i, and its gradients', (rows, groups, size) => {
    // Of one element the norm is its sign, unless eps is large: nothing would be left to compare.
    const eps = size === 1 ? 1 : 1e-5;
    const [x, dy] = [1, 2].map((seed) => randomOperand(rows * groups * size, storage, seed, 3)) as [Operand, Operand];
    const weight = randomOperand(groups * size, 'f32', 4);
    const y = result(rows * groups * size, storage);
    expectSame('rms_norm', [x, weight, y], [rows, groups, size, eps]);
    expectSame('rms_norm_grad', [x, weight, dy, y, result(groups * size)], [rows, groups, size, eps]);
  });
});

describe.each(storages)('residual_step in %s', (storage) => {
  it.each([
    [0, 4],
    [3, 0],
    [1, 1],
    [5, 33],
    [2, 300],
    [50, 64],
    [3, 520],
    [41, 768],
    [5, 2048],
    [2, 2056],
  ])('%i rows of %i, and its gradients', (rows, size) => {
    const eps = size === 1 ? 1 : 1e-5;
    const [h, out, up] = [1, 2, 3].map((seed) => randomOperand(rows * size, storage, seed, 3)) as [
      Operand,
      Operand,
      Operand,
    ];
    const weight = randomOperand(size, 'f32', 4);
    const [next, x] = [result(rows * size, storage), result(rows * size, storage)];
    expectSame('residual_step', [h, out, weight, next, x], [rows, size, eps]);
    expectSame('residual_step_grad', [h, weight, out, up, next, result(size)], [rows, size, eps]);
  });
});

describe.each(storages)('rotary_embedding in %s', (storage) => {
  it.each([
    { B: 0, T: 3, H: 2, d: 4, offset: 0, inverse: 0 },
    { B: 2, T: 5, H: 3, d: 6, offset: 0, inverse: 0 },
    { B: 1, T: 3, H: 1, d: 2, offset: 100_000, inverse: 1 },
    { B: 2, T: 3, H: 5, d: 16, offset: 7, inverse: 0 },
    { B: 1, T: 2, H: 3, d: 48, offset: 0, inverse: 1 },
    // Many positions, more of one than a block has threads, more pairs than it has room for.
    { B: 1, T: 700, H: 1, d: 2, offset: 3, inverse: 0 },
    { B: 37, T: 2, H: 9, d: 64, offset: 0, inverse: 0 },
    { B: 1, T: 2, H: 2, d: 1040, offset: 1, inverse: 1 },
    { B: 2, T: 1, H: 1, d: 1030, offset: 0, inverse: 0 },
  ])('turns pairs by position, to either side: %o', ({ B, T, H, d, offset, inverse }) => {
    const size = B * T * H * d;
    const numbers = [B, T, H, d, 10_000, offset, inverse];
    expectSame('rotary_embedding', [randomOperand(size, storage), result(size, storage)], numbers);
  });

  it('refuses an odd head width', () => {
    const operands = [randomOperand(3, storage), result(3, storage)];
    expect(() => runOnCuda('rotary_embedding', operands, [1, 1, 1, 3, 10_000, 0, 0])).toThrow(
      'the head width must be even',
    );
  });
});

describe('embedding_lookup', () => {
  it.each([
    [5, 3, 0],
    [1, 1, 1],
    [7, 5, 20],
    [50, 300, 9],
    [3, 2, 700],
    [7, 24, 12],
    [3, 2056, 10],
    [600, 8, 4500],
  ])(
    '%i rows of %i, %i tokens, and the gradient of the table with rows of one id in their order',
    (rows, width, count) => {
      const ids = integers(Array.from({ length: count }, (_, i) => (i * i + 3 * i) % rows));
      for (const from of storages) {
        const table = randomOperand(rows * width, from);
        for (const to of storages)
          expectSame('embedding_lookup', [table, ids, result(count * width, to)], [rows, width, count], 0);
        expectSame(
          'embedding_lookup_grad',
          [ids, randomOperand(count * width, from, 5), result(rows * width)],
          [rows, width, count],
          1e-6,
        );
      }
    },
  );

  it.each([-1, 3, 2 ** 31 - 1])(
    'tells of token %i, which the table does not have, and is itself again afterwards',
    (id) => {
      const call = (ids: number[]) =>
        runOnCuda('embedding_lookup', [randomOperand(6), integers(ids), result(4)], [3, 2, 2]);
      expect(() => call([0, id])).toThrow('a token id is outside the table, and must be 0 … rows − 1');
      expect(call([0, 1])[2]).toHaveLength(4);
      const gradient = [integers([0, id]), randomOperand(4), result(6)];
      expect(() => runOnCuda('embedding_lookup_grad', gradient, [3, 2, 2])).toThrow('a token id is outside the table');
    },
  );
});

describe('sums of pairs', () => {
  it.each([{ sizes: [] }, { sizes: [0, 1, 8, 40_003] }, { sizes: Array.from({ length: 60 }, (_, i) => i) }])(
    'are made of all of them: $sizes',
    ({ sizes }) => {
      const all = sizes as number[];
      const pairs = all.flatMap((size, i) => [randomOperand(size, 'f32', i), randomOperand(size, 'f32', i + 100)]);
      expectSame('add_pairs', [...pairs, ...all.map((size) => result(size))], [all.length], 1e-6);
    },
  );

  it('refuses a pair without its sum', () => {
    const pair = [randomOperand(3), randomOperand(3)];
    expect(() => runOnCuda('add_pairs', pair, [1])).toThrow('add_pairs takes three buffers a pair');
  });
});

describe('the optimizer', () => {
  const operand = (values: readonly number[]) => ({ storage: 'f32', values }) as const;
  const tensors = (sizes: readonly number[]) =>
    sizes.flatMap((size, t) =>
      [1, 2, 3, 4]
        .map((i) => randomOperand(size, 'f32', 4 * t + i))
        .map((each, i) => (i === 3 ? { ...each, values: Array.from(each.values, Math.abs) } : each)),
    );

  it.each([{ sizes: [0] }, { sizes: [1, 7, 300] }, { sizes: Array.from({ length: 60 }, (_, i) => i) }])(
    'updates all tensors in place: $sizes',
    ({ sizes }) => {
      const factors = operand([1, 1e-2, 1.1, 0.99, 2e-2, 1.2]);
      const rows = sizes.map((_, t) => t % 2);
      for (const scale of [0.5, Number.NaN])
        expectSame('adamw', [...tensors(sizes), factors, operand([scale])], [sizes.length, 0.9, 0.99, 1e-8, ...rows]);
    },
  );

  it.each([{ sizes: [1, 7, 300] }, { sizes: Array.from({ length: 60 }, (_, i) => i) }])(
    'and copies of some of them in bf16 with them: $sizes',
    ({ sizes }) => {
      const copied = sizes.flatMap((_, t) => (t % 3 === 1 ? [] : [t]));
      const copies = copied.map((t) => randomOperand(sizes[t] as number, 'bf16', t));
      const rows = sizes.map(() => 0);
      for (const scale of [0.5, Number.NaN]) {
        const operands = [...tensors(sizes), operand([0.99, 2e-2, 1.2]), operand([scale]), ...copies];
        expectSame('adamw', operands, [sizes.length, 0.9, 0.99, 1e-8, ...rows, ...copied]);
      }
    },
  );

  it.each([
    [0.5, 1],
    [4, 1],
    [4, 0],
    [0, 1],
    [Number.POSITIVE_INFINITY, 1],
    [Number.NaN, 0],
  ])('scales gradients of norm %d to %d, and says NaN where norm or loss is not finite', (norm, most) => {
    for (const loss of [3, Number.NaN, Number.NEGATIVE_INFINITY])
      expectSame('clip_scale', [operand([norm]), operand([loss]), result(1)], [most]);
  });

  it('refuses to begin where something is missing', () => {
    const behind = [operand([1, 1e-2, 1]), operand([1])];
    expect(() => runOnCuda('adamw', [...tensors([3]), ...behind], [1, 0.9, 0.99, 1e-8])).toThrow(
      'adamw takes four buffers and one number a tensor, then two buffers, then a buffer and a number a copy',
    );
    expect(() => runOnCuda('adamw', [...tensors([3]), ...behind], [1, 0.9, 0.99, 1e-8, 1])).toThrow(
      "adamw: a tensor's row of factors is not there",
    );
    const copy = (storage: Storage) => [...tensors([3]), ...behind, randomOperand(3, storage)];
    expect(() => runOnCuda('adamw', copy('bf16'), [1, 0.9, 0.99, 1e-8, 0, 1])).toThrow(
      "adamw: a copy's tensor is not there",
    );
    expect(() => runOnCuda('adamw', copy('f32'), [1, 0.9, 0.99, 1e-8, 0, 0])).toThrow('adamw: a copy must be bf16');
  });

  it('finds the norm of tensors whose squares together pass what float32 holds', () => {
    const large = { storage: 'f32', values: [1.5e19] } as const;
    expectSame('global_norm', [large, large, result(1)], [], 1e-6);
  });

  it.each([{ sizes: [] }, { sizes: [1, 0, 40_000] }, { sizes: Array.from({ length: 60 }, (_, i) => i) }])(
    'finds the norm of all tensors together: $sizes',
    ({ sizes }) => {
      expectSame(
        'global_norm',
        [...(sizes as number[]).map((size, i) => randomOperand(size, 'f32', i)), result(1)],
        [],
        1e-6,
      );
    },
  );
});
