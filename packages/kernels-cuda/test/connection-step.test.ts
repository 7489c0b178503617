import { describe, expect, it } from 'vitest';
import { randomOperand, runOnCuda, type Storage } from './support/both-libraries';
import { check, checkShapes, halves, numbers } from './support/connection-steps';

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
  checkShapes(shapes);

  it('takes a next state whose gradient nobody asked for, and no tokens', () => {
    const step = { m: 2, n: 3, db: 64, write: true, read: true, dynamic: true, normed: true };
    check({ ...step, tokens: 7 }, 'bf16', false);
    check({ ...step, tokens: 0 }, 'bf16');
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
