import { describe, expect, it } from 'vitest';
import { expectSame, randomOperand, result, runOnCuda, type Operand, type Storage } from './support/both-libraries';

const storages: Storage[] = ['f32', 'bf16'];
const odd: Operand = {
  storage: 'f32',
  values: [0, -0, 1e-30, 3e38, -3e38, Number.NaN, Infinity, -Infinity, 100, -100],
};

describe('convert', () => {
  it.each([0, 1, 33, 1000])('%i elements from either storage to either', (size) => {
    for (const from of storages)
      for (const to of storages) expectSame('convert', [randomOperand(size, from), result(size, to)], [size], 0);
  });

  it('keeps infinities, signed zeros and NaN', () => {
    for (const to of storages) expectSame('convert', [odd, result(10, to)], [10], 0);
  });
});

describe('unary', () => {
  const names = ['square', 'square root', 'reciprocal square root', 'exponential', 'negation', 'sigmoid', 'tanh'];
  it.each(names.map((name, operation) => ({ name, operation })))('$name of any size and storage', ({ operation }) => {
    for (const storage of storages)
      for (const size of [0, 1, 300]) {
        const positive = { storage, values: Array.from({ length: size }, (_, i) => 0.01 + i / 50) };
        expectSame(
          'unary',
          [operation === 1 || operation === 2 ? positive : randomOperand(size, storage, 3, 4), result(size, storage)],
          [size, operation],
        );
      }
  });

  it.each([3, 5, 6])('operation %i of infinities and NaN', (operation) => {
    const values = { storage: 'f32', values: [Number.NaN, Infinity, -Infinity, 100, -100] } as const;
    expectSame('unary', [values, result(5)], [5, operation]);
  });

  it('refuses an operation that there is not', () => {
    expect(() => runOnCuda('unary', [result(1), result(1)], [1, 7])).toThrow('unary: there is no such operation');
  });
});

describe('binary', () => {
  it.each([0, 1, 2, 3])('operation %i along equal shapes, rows and columns that repeat, and scalars', (operation) => {
    for (const storage of storages) {
      const [a, row, column, one] = [60, 5, 12, 1].map((size, i) => randomOperand(size, storage, i + 1));
      const y = result(60, storage);
      expectSame('binary', [a as Operand, a as Operand, y], [operation, 1, 60, 1, 1]);
      expectSame('binary', [a as Operand, row as Operand, y], [operation, 2, 12, 5, 0, 5, 1, 1]);
      expectSame('binary', [column as Operand, a as Operand, y], [operation, 2, 12, 1, 5, 5, 0, 1]);
      expectSame('binary', [one as Operand, a as Operand, y], [operation, 3, 3, 0, 20, 4, 0, 5, 5, 0, 1]);
    }
  });

  it('walks over more elements than one grid has threads', () => {
    expectSame(
      'binary',
      [randomOperand(70_001), randomOperand(70_001, 'f32', 2), result(70_001)],
      [0, 1, 70_001, 1, 1],
    );
  });

  it('does nothing for a dimension of 0', () => {
    expectSame('binary', [randomOperand(0), randomOperand(0), result(0)], [0, 2, 0, 5, 5, 5, 1, 1]);
  });

  it.each([
    ['leaves its operand', [0, 1, 61, 1, 1], [60, 61, 61]],
    ['1 to 8 dimensions', [0, 9, 1, 1, 1], [1, 1, 1]],
    ['contiguous or repeated', [0, 1, 2, 2, 1], [3, 2, 2]],
    ['no such operation', [4, 1, 2, 1, 1], [2, 2, 2]],
  ])('refuses a call that %s', (text, numbers, sizes) => {
    const operands = (sizes as number[]).map((size) => randomOperand(size));
    expect(() => runOnCuda('binary', operands, numbers as number[])).toThrow(text);
  });
});

describe('sum_axis', () => {
  it.each([
    [0, 3, 2],
    [2, 0, 3],
    [1, 1, 1],
    [3, 100, 1],
    [2, 9000, 1],
    [3, 7, 5],
    [2, 200, 33],
    [70, 1, 4],
  ])('outer %i, count %i, inner %i', (outer, count, inner) => {
    for (const storage of storages)
      expectSame(
        'sum_axis',
        [randomOperand(outer * count * inner, storage), result(outer * inner)],
        [outer, count, inner, 0.25],
        1e-5,
      );
  });
});

describe('copy_strided', () => {
  it.each<Storage>(['f32', 'bf16', 'i32', 'u8'])('transposes, slices and repeats %s', (storage) => {
    const x = { storage, values: Array.from({ length: 60 }, (_, i) => i) };
    const y = { storage, values: new Array<number>(60).fill(7) };
    expectSame('copy_strided', [x, y], [2, 0, 0, 12, 1, 5, 5, 12, 1], 0);
    expectSame('copy_strided', [x, y], [3, 7, 2, 2, 20, 20, 3, 5, 4, 2, 1, 1], 0);
    expectSame('copy_strided', [x, y], [2, 3, 0, 4, 0, 5, 5, 1, 1], 0);
    expectSame('copy_strided', [x, y], [1, 59, 0, 60, -1, 1], 0);
  });

  it('does nothing for a dimension of 0, and refuses a view that leaves its buffer or is too large', () => {
    const [x, y] = [randomOperand(4), randomOperand(4)];
    expectSame('copy_strided', [x, y], [2, 0, 0, 3, 1, 1, 0, 1, 1], 0);
    expect(() => runOnCuda('copy_strided', [x, y], [1, 1, 0, 4, 1, 1])).toThrow('the view leaves its buffer');
    const many = [3, 0, 0, 2 ** 40, 0, 0, 2 ** 40, 0, 0, 1, 1, 1];
    expect(() => runOnCuda('copy_strided', [x, y], many)).toThrow('the view is too large');
  });
});
