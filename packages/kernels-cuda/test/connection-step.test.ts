import { describe, expect, it } from 'vitest';
import { expectSame, randomOperand, result, runOnCuda, type Operand, type Storage } from './support/both-libraries';

interface Step {
  readonly m: number;
  readonly n: number;
  readonly db: number;
  readonly tokens: number;
  readonly write: boolean;
  readonly read: boolean;
  readonly dynamic: boolean;
  readonly normed?: boolean;
}

const numbers = ({ m, n, db, tokens, write, read, dynamic, normed = false }: Step) => [
  m,
  n,
  db,
  tokens,
  1e-5,
  +write,
  +read,
  +dynamic,
  +normed,
  1e-2,
];

/** Sizes of the parameters, in their order: writing's 2 or 7, reading's 1 or 4, the sublayer's norm. */
function parameterSizes({ m, n, db, write, read, dynamic, normed }: Step): number[] {
  const [alpha, beta, fn] = [n * (m + n), n * m, db * (m + n)];
  return [
    ...(write ? [alpha, beta, ...(dynamic ? [db, fn, db * m, alpha, beta] : [])] : []),
    ...(read ? [alpha, ...(dynamic ? [db, fn, alpha] : []), ...(normed ? [m * db] : [])] : []),
  ];
}

const statesOf = ({ m, n, db, tokens }: Step) => [tokens * n * db, tokens * m * db] as const;

function inputsOf(step: Step, storage: Storage): { inputs: Operand[]; parameters: Operand[] } {
  const [state, backbone] = statesOf(step);
  const h = randomOperand(state, storage, 1);
  return {
    inputs: step.write ? [h, randomOperand(backbone, storage, 2)] : [h],
    parameters: parameterSizes(step).map((size, i) => randomOperand(size, 'f32', i + 20, 0.7)),
  };
}

/** Operands and numbers of the forward pass. */
function forward(step: Step, storage: Storage): [Operand[], number[]] {
  const [state, backbone] = statesOf(step);
  const { inputs, parameters } = inputsOf(step, storage);
  const outputs = [...(step.write ? [result(state, storage)] : []), ...(step.read ? [result(backbone, storage)] : [])];
  return [[...inputs, ...parameters, ...outputs], numbers(step)];
}

function check(step: Step, storage: Storage, hasDhNext = step.write): void {
  const { write, read } = step;
  const [state, backbone] = statesOf(step);
  const [dhNext, dx] = [randomOperand(state, storage, 3), randomOperand(backbone, storage, 4)];
  const { inputs, parameters } = inputsOf(step, storage);
  const [operands] = forward(step, storage);
  expectSame('connection_step', operands, numbers(step));
  const hNext = runOnCuda('connection_step', operands, numbers(step))[
    inputs.length + parameters.length
  ] as Float64Array;
  const gradient = [
    ...inputs,
    ...parameters,
    ...(write && read ? [{ storage, values: hNext }] : []),
    ...(hasDhNext ? [dhNext] : []),
    ...(read ? [dx] : []),
    result(state, storage),
    ...(write ? [result(backbone, storage)] : []),
    ...parameters.map(({ values }) => result(values.length)),
  ];
  expectSame('connection_step_grad', gradient, [...numbers(step), +hasDhNext], storage === 'bf16' ? 2e-2 : 1e-4);
}

const halves = [
  { write: true, read: true, normed: false, title: 'writes and reads' },
  { write: true, read: true, normed: true, title: 'writes, reads and norms' },
  { write: true, read: false, normed: false, title: 'writes' },
  { write: false, read: true, normed: false, title: 'reads' },
  { write: false, read: true, normed: true, title: 'reads and norms' },
];

describe.each<Storage>(['f32', 'bf16'])('a connection step in %s', (storage) => {
  for (const { title, ...half } of halves)
    for (const dynamic of [true, false])
      it(`${title}, ${dynamic ? 'dynamic' : 'static'}, forward and backward`, () => {
        for (const [m, n, db, tokens] of [
          [1, 1, 3, 2],
          [2, 3, 8, 7],
          [3, 5, 7, 9],
        ] as const)
          check({ m, n, db, tokens, ...half, dynamic }, storage);
      });

  it.each([false, true])('reads (4,16) and (8,64) with more tokens than blocks, with the norm: %s', (normed) => {
    check({ m: 4, n: 16, db: 8, tokens: 50, write: true, read: true, dynamic: true, normed }, storage);
    check({ m: 8, n: 64, db: 4, tokens: 14, write: true, read: true, dynamic: true, normed }, storage);
  });

  it.each([false, true])('has room for states that are larger than shared memory, with the norm: %s', (normed) => {
    check({ m: 2, n: 3, db: 2900, tokens: 4, write: true, read: true, dynamic: true, normed }, storage);
  });

  it('takes a next state whose gradient nobody asked for, and no tokens', () => {
    check({ m: 2, n: 3, db: 4, tokens: 3, write: true, read: true, dynamic: true }, storage, false);
    check({ m: 2, n: 3, db: 4, tokens: 0, write: true, read: true, dynamic: true, normed: true }, storage);
  });
});

describe('a connection step of few slots in bf16', () => {
  /** One warp whose lanes do not all have columns, several, all threads that a block may have; more tokens than blocks. */
  const shapes = [
    [1, 2, 8, 40],
    [1, 4, 264, 5],
    [1, 4, 2048, 2],
    [2, 3, 16, 9],
    [2, 3, 512, 40],
    [2, 3, 2048, 1],
    [2, 4, 132, 7],
    [2, 4, 1024, 3],
  ] as const;
  for (const { title, ...half } of halves)
    it.each(shapes)(`${title}: (%d,%d), %d columns, %d tokens`, (m, n, db, tokens) => {
      check({ m, n, db, tokens, dynamic: true, ...half }, 'bf16');
    });

  it('takes a next state whose gradient nobody asked for, and no tokens', () => {
    const step = { m: 2, n: 3, db: 64, write: true, read: true, dynamic: true, normed: true };
    check({ ...step, tokens: 7 }, 'bf16', false);
    check({ ...step, tokens: 0 }, 'bf16');
  });
});

describe('a connection step by tensor cores', () => {
  /** One token at a time or four, one buffer or two, last tiles that are not full, one token. */
  const shapes = [
    [4, 16, 16, 50],
    [4, 16, 512, 6],
    [8, 16, 48, 5],
    [1, 32, 16, 7],
    [16, 32, 16, 3],
    [8, 64, 32, 9],
    [8, 64, 128, 2],
    [3, 64, 16, 1],
    [2, 16, 528, 5],
    [8, 64, 256, 2],
    [5, 16, 32, 9],
    [1, 16, 272, 5],
    [3, 16, 656, 3],
    // Where Hopper's shared memory has room for them: as many gradients of W as stay in registers, and some that take a second pass.
    [4, 16, 1024, 4],
    [4, 16, 1040, 4],
    [7, 16, 768, 2],
    [8, 16, 784, 3],
    [8, 32, 400, 5],
    [8, 32, 512, 4],
    [5, 32, 528, 3],
    [16, 32, 384, 2],
    [9, 32, 400, 3],
    [16, 64, 144, 2],
    [8, 64, 272, 4],
    // With that memory by warpgroups: a slab of 64 columns for one of two groups, two slabs or one each, more tokens than blocks.
    [2, 64, 64, 5],
    [8, 64, 128, 9],
    [6, 64, 192, 7],
    [4, 64, 256, 7],
    // Slots that are filled up to 16, 32 or 64 rows: few of them or most, tokens that do not fill a tile, odd m.
    [4, 8, 16, 9],
    [4, 6, 32, 5],
    [8, 12, 16, 7],
    [3, 6, 16, 40],
    [1, 5, 16, 9],
    [2, 8, 256, 3],
    [6, 12, 272, 3],
    [8, 24, 32, 5],
    [5, 17, 16, 3],
    [1, 31, 16, 3],
    [9, 20, 16, 2],
    [8, 48, 80, 3],
    [16, 48, 16, 3],
    [7, 63, 16, 2],
    // More than half as many columns as slots: rows for what was read.
    [16, 16, 16, 5],
    [5, 7, 32, 9],
    [12, 16, 48, 3],
    // Forward with room for the next token's state in part; backward by two blocks that share a token, evenly or not.
    [8, 64, 320, 5],
    [2, 64, 448, 4],
    [8, 64, 512, 3],
    // What is compiled with its numbers known, where there is room: tokens that do not fill a block, and more than there are blocks.
    [4, 16, 256, 37],
    [4, 16, 512, 5],
    [8, 32, 128, 9],
    [8, 32, 256, 3],
  ] as const;
  for (const { title, ...half } of halves)
    it.each(shapes)(`${title}: (%d,%d), %d columns, %d tokens`, (m, n, db, tokens) => {
      check({ m, n, db, tokens, dynamic: true, ...half }, 'bf16');
    });

  it('takes a next state whose gradient nobody asked for, and no tokens', () => {
    const step = { m: 4, n: 16, db: 16, write: true, read: true, dynamic: true, normed: true };
    check({ ...step, tokens: 7 }, 'bf16', false);
    check({ ...step, db: 256, tokens: 7 }, 'bf16', false);
    check({ ...step, tokens: 0 }, 'bf16');
  });

  it.each([
    [4, 16, 16],
    [4, 16, 256],
    [8, 64, 64],
  ])('keeps what is not finite to the token that has it: (%d,%d), %d columns', (m, n, db) => {
    const [ofState, ofBackbone] = [n * db, m * db];
    const step = { m, n, db, tokens: 6, write: true, read: true, dynamic: true };
    const [[h, ...rest], numbers] = forward(step, 'bf16');
    const values = Float32Array.from((h as Operand).values);
    [values[ofState + 3], values[3 * ofState]] = [Number.NaN, Number.POSITIVE_INFINITY];
    const after = runOnCuda('connection_step', [{ storage: 'bf16', values }, ...rest], numbers);
    const [state, x] = after.slice(-2) as [Float64Array, Float64Array];
    const isFinite = (all: Float64Array, token: number, size: number) =>
      all.slice(token * size, (token + 1) * size).every(Number.isFinite);
    const tokens = [0, 1, 2, 3, 4, 5];
    expect(tokens.map((token) => isFinite(state, token, ofState))).toEqual([true, false, true, false, true, true]);
    expect(tokens.map((token) => isFinite(x, token, ofBackbone))).toEqual([true, false, true, false, true, true]);

    const parameters = rest.slice(1, -2);
    const backwards = [
      { storage: 'bf16' as const, values },
      rest[0] as Operand,
      ...parameters,
      { storage: 'bf16' as const, values: state },
      randomOperand(6 * ofState, 'bf16', 3),
      randomOperand(6 * ofBackbone, 'bf16', 4),
      result(6 * ofState, 'bf16'),
      result(6 * ofBackbone, 'bf16'),
      ...parameters.map((each) => result(each.values.length)),
    ];
    const [dh, dout] = runOnCuda('connection_step_grad', backwards, [...numbers, 1]).slice(parameters.length + 5) as [
      Float64Array,
      Float64Array,
    ];
    expect(tokens.map((token) => isFinite(dh, token, ofState))).toEqual([true, false, true, false, true, true]);
    expect(tokens.map((token) => isFinite(dout, token, ofBackbone))).toEqual([true, false, true, false, true, true]);
  });
});

describe('a connection step', () => {
  it.each([
    [{ m: 0, n: 1, db: 1 }, 'm, n and db must be 1 or more'],
    [{ m: 1, n: 1, db: 2 ** 30 }, 'm, n or db is too large'],
    [{ m: 2, n: 2, db: 2 }, 'elements, and must have'],
    [{ m: 1, n: 1, db: 1, read: false }, 'a step writes, reads or does both'],
  ])('refuses %o', (sizes, text) => {
    const step = { tokens: 1, write: false, read: true, dynamic: false, ...sizes };
    const operands = [randomOperand(3), randomOperand(3), randomOperand(3)];
    expect(() => runOnCuda('connection_step', operands, numbers(step))).toThrow(text);
  });
});
