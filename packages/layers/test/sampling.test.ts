import { NumericsError, Rng } from '@vwn/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sampleToken } from '../src/index';

const logit = fc.oneof(
  fc.float({ noNaN: true, min: -30, max: 30 }),
  fc.constantFrom(0, -0, 1, -1, 1e-40, -1e-40, -Infinity),
);

describe('sampleToken', () => {
  it('keeps the k likeliest tokens, the lower id of equal ones', () => {
    fc.assert(
      fc.property(fc.array(logit, { minLength: 1, maxLength: 40 }), fc.nat(39), fc.nat(), (row, more, seed) => {
        const logits = Float32Array.from([...row, 0]);
        const topK = 1 + (more % logits.length);
        const order = [...logits.keys()].sort((a, b) => (logits[b] as number) - (logits[a] as number) || a - b);
        expect(order.slice(0, topK)).toContain(sampleToken(logits, { topK }, Rng.fromSeed(seed)));
        expect(sampleToken(logits, { topK: 1 }, Rng.fromSeed(seed))).toBe(order[0]);
      }),
    );
  });

  it('draws tokens as often as their probabilities say', () => {
    const logits = Float32Array.from([Math.log(0.1), Math.log(0.6), Math.log(0.3)]);
    const rng = Rng.fromSeed('draws');
    const counts = [0, 0, 0];
    for (let i = 0; i < 20000; i++) counts[sampleToken(logits, {}, rng)]!++;
    for (const [i, share] of [0.1, 0.6, 0.3].entries()) expect((counts[i] as number) / 20000).toBeCloseTo(share, 1.7);
  });

  it.each([
    [[0, Number.NaN, 1], 'got NaN'],
    [[0, Infinity, 1], 'got Infinity'],
    [[-Infinity, -Infinity], 'got only -Infinity'],
  ])('refuses logits that are no probabilities, at any temperature: %o', (row, got) => {
    for (const temperature of [0, 1]) {
      const draw = () => sampleToken(Float32Array.from(row), { temperature, topK: 1 }, Rng.fromSeed(0));
      expect(draw).toThrow(NumericsError);
      expect(draw).toThrow(`the model gives logits that make no probabilities: ${got}. The weights are damaged`);
    }
  });
});
