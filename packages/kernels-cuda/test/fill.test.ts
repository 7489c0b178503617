import { describe, it } from 'vitest';
import { expectSame, result } from './support/both-libraries';

describe('fill', () => {
  it.each([0, 1, 31, 257, 70_000])('sets all of %i elements in either storage', (size) => {
    expectSame('fill', [result(size)], [size, -1.5]);
    expectSame('fill', [result(size, 'bf16')], [size, 0.1]);
  });
});
