import { describe, expect, it } from 'vitest';
import { PythonRandom } from '../src/few-shot/python-random';

/** Printed by CPython 3.11: `r = random.Random(seed); [r.sample(range(n), count) for _ in range(2)]`. */
const draws: [seed: number, n: number, count: number, first: number[], second: number[]][] = [
  [1234, 5, 3, [3, 0, 4], [0, 4, 2]],
  [1234, 30, 5, [24, 14, 3, 0, 2], [29, 25, 18, 1, 21]],
  [0, 1000, 8, [864, 394, 776, 911, 430, 41, 265, 988], [523, 497, 414, 940, 802, 849, 310, 991]],
  [42, 21, 5, [20, 3, 0, 8, 7], [7, 4, 3, 17, 2]],
  [7, 22, 5, [10, 4, 12, 20, 1], [2, 17, 3, 11, 18]],
  [4294967295, 60, 6, [40, 39, 13, 57, 38, 33], [18, 38, 21, 24, 43, 44]],
];

describe('PythonRandom', () => {
  it.each(draws)(
    'seed %i: samples of %i things, %i at a time, are those of Python',
    (seed, n, count, first, second) => {
      const random = new PythonRandom(seed);
      const things = Array.from({ length: n }, (_, i) => i);
      expect(random.sample(things, count)).toEqual(first);
      expect(random.sample(things, count)).toEqual(second);
    },
  );

  it('goes on as Python after its 624 words are used up', () => {
    const random = new PythonRandom(1234);
    const things = Array.from({ length: 30 }, (_, i) => i);
    for (let i = 0; i < 999; i++) random.sample(things, 5);
    expect(random.sample(things, 5)).toEqual([22, 28, 18, 2, 16]);
  });
});
