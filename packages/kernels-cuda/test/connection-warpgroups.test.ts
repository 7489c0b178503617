import { describe, it } from 'vitest';
import { checkNotFinite, checkShapes } from './support/connection-steps';

/** On Hopper; elsewhere, and where its memory does not suffice, by tiles or a thread a number. */
describe('a connection step of 64 slots by warpgroups', () => {
  const shapes = [
    // A slab of 64 columns for one of two groups, two slabs or one each, more tokens than blocks.
    [2, 64, 64, 5],
    [8, 64, 128, 9],
    [6, 64, 192, 7],
    [4, 64, 256, 7],
    [8, 64, 128, 2],
    [8, 64, 256, 2],
    [8, 64, 272, 4],
    // Forward with room for the next token's state in part; backward by two blocks that share a token, evenly or not.
    [8, 64, 320, 5],
    [2, 64, 448, 4],
    [8, 64, 512, 3],
  ] as const;
  checkShapes(shapes);

  it('keeps what is not finite to the token that has it: (8,64), 64 columns', () => {
    checkNotFinite(8, 64, 64);
  });
});
