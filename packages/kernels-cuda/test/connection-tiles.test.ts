import { describe, it } from 'vitest';
import { check, checkNotFinite, checkShapes } from './support/connection-steps';

describe('a connection step by tensor cores', () => {
  /** One token at a time or four, one buffer or two, last tiles that are not full, one token. */
  const shapes = [
    [4, 16, 16, 50],
    [4, 16, 512, 6],
    [8, 16, 48, 5],
    [1, 32, 16, 7],
    [16, 32, 16, 3],
    [8, 64, 32, 9],
    [3, 64, 16, 1],
    [2, 16, 528, 5],
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
    // What is compiled with its numbers known, where there is room: tokens that do not fill a block, and more than there are blocks.
    [4, 16, 256, 37],
    [4, 16, 512, 5],
    [8, 32, 128, 9],
    [8, 32, 256, 3],
  ] as const;
  checkShapes(shapes);

  it('takes a next state whose gradient nobody asked for, and no tokens', () => {
    const step = { m: 4, n: 16, db: 16, write: true, read: true, dynamic: true, normed: true };
    check({ ...step, tokens: 7 }, 'bf16', false);
    check({ ...step, db: 256, tokens: 7 }, 'bf16', false);
    check({ ...step, tokens: 0 }, 'bf16');
  });

  it.each([
    [4, 16, 16],
    [4, 16, 256],
  ])('keeps what is not finite to the token that has it: (%d,%d), %d columns', checkNotFinite);
});
