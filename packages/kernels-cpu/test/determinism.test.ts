/** Three training steps of a small model, twice: every bit of weights and moments is compared. */
import { beforeAll, expect, it } from 'vitest';
import { reportOf } from './support/child';
import { describeNative } from './support/native';
import type { TrainDigest } from './support/train-digest';

// 1 and 2 come back after other numbers of threads, whose scratch memory they then find.
const threads = [1, 2, 3, 7, 2, 1];

for (const precision of ['fp32', 'bf16'])
  describeNative(`training in ${precision}`, () => {
    let runs: TrainDigest[][] = [];
    beforeAll(async () => {
      const run = () => reportOf<TrainDigest[]>('train-digest.ts', { args: [precision, ...threads.map(String)] });
      runs = [await run(), await run()];
    });

    it('is the same to the last bit in another process with the same number of threads', () => {
      expect(runs[0]?.map((each) => each.threads)).toEqual(threads);
      expect(runs[1]).toEqual(runs[0]);
    });

    it('is the same to the last bit when a process comes back to a number of threads', () => {
      const [one, two, , , twoAgain, oneAgain] = runs[0] as TrainDigest[];
      expect(oneAgain).toEqual(one);
      expect(twoAgain).toEqual(two);
    });

    it('changes the weights in every step, and differs by rounding alone between numbers of threads', () => {
      for (const { digests } of runs[0] ?? []) expect(new Set(digests).size).toBe(3);
      const [one, ...others] = (runs[0] ?? []).map(({ losses }) => losses);
      const tolerance = precision === 'fp32' ? 1e-6 : 1e-3;
      for (const losses of others)
        losses.forEach((loss, i) => expect(Math.abs(loss - (one?.[i] as number))).toBeLessThan(tolerance * loss));
    });
  });
