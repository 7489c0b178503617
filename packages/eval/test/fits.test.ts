import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { logLinearFit, speedupRatio, tokensToReachLoss, type CurvePoint } from '../src/index';

const curve = [
  { tokens: 100, loss: 4 },
  { tokens: 200, loss: 3 },
  { tokens: 400, loss: 2 },
];

/** A curve whose tokens increase and whose losses fall. */
const falling = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 1000 })), {
    minLength: 2,
    maxLength: 20,
  })
  .map((steps) => {
    let point = { tokens: 0, loss: 100 };
    return steps.map(([tokens, drop]): CurvePoint => {
      point = { tokens: point.tokens + tokens, loss: point.loss - drop / 1000 };
      return point;
    });
  });

describe('tokensToReachLoss', () => {
  it('interpolates between the points around the loss', () => {
    expect(tokensToReachLoss(curve, 3.5)).toBe(150);
    expect(tokensToReachLoss(curve, 2.25)).toBe(350);
    expect(tokensToReachLoss(curve, 3)).toBe(200);
  });

  it('is the first point where the curve begins at or below the loss, and undefined where it never gets there', () => {
    expect(tokensToReachLoss(curve, 5)).toBe(100);
    expect(tokensToReachLoss(curve, 1.9)).toBeUndefined();
    expect(tokensToReachLoss([], 1)).toBeUndefined();
  });

  it('counts the first time, although the loss rises again', () => {
    expect(tokensToReachLoss([...curve, { tokens: 500, loss: 5 }, { tokens: 600, loss: 1 }], 2)).toBe(400);
  });

  it('does not interpolate from a loss that was not finite', () => {
    expect(tokensToReachLoss([{ tokens: 1, loss: Infinity }, ...curve], 4.5)).toBe(100);
  });

  it('gives back the tokens of every point of a falling curve, and never less for a lower loss', () => {
    fc.assert(
      fc.property(falling, (points) => {
        points.forEach(({ tokens, loss }) => expect(tokensToReachLoss(points, loss)).toBeCloseTo(tokens, 6));
        const [high, low] = [points[0]?.loss ?? 0, points.at(-1)?.loss ?? 0];
        const middle = tokensToReachLoss(points, (high + low) / 2) ?? 0;
        expect(middle).toBeGreaterThanOrEqual(points[0]?.tokens ?? 0);
        expect(middle).toBeLessThanOrEqual(points.at(-1)?.tokens ?? 0);
      }),
    );
  });

  it('refuses points out of order and a loss that is no number', () => {
    expect(() => tokensToReachLoss([...curve, { tokens: 400, loss: 1 }], 1)).toThrow(
      'point 3 of the learning curve is out of order: expected more than 400 tokens, got 400',
    );
    expect(() => tokensToReachLoss(curve, Number.NaN)).toThrow('the loss to reach is wrong');
  });
});

describe('speedupRatio', () => {
  it('is how many times fewer tokens the candidate needs for the baseline’s last loss, or for a given one', () => {
    const candidate = curve.map(({ tokens, loss }) => ({ tokens: tokens / 2.5, loss }));
    expect(speedupRatio(curve, candidate)).toBeCloseTo(2.5, 12);
    expect(speedupRatio(curve, candidate, 3)).toBeCloseTo(2.5, 12);
    expect(speedupRatio(candidate, curve)).toBeCloseTo(0.4, 12);
  });

  it('is undefined when the candidate does not get there', () => {
    expect(speedupRatio(curve, curve.slice(0, 2))).toBeUndefined();
  });

  it('is 1 for a curve against itself', () => {
    fc.assert(
      fc.property(falling, (points) => {
        expect(speedupRatio(points, points)).toBe(1);
      }),
    );
  });
});

describe('logLinearFit', () => {
  it('finds the line of the paper’s Fig. 8, loss = −0.0069 · log2(r) + 1.6212, in points on it', () => {
    const points = [1.5, 2, 4, 8, 64].map((x) => ({ x, y: -0.0069 * Math.log2(x) + 1.6212 }));
    const { slope, intercept, r2 } = logLinearFit(points);
    expect(slope).toBeCloseTo(-0.0069, 12);
    expect(intercept).toBeCloseTo(1.6212, 12);
    expect(r2).toBeCloseTo(1, 9);
  });

  it('weighs scattered points as least squares does', () => {
    // x = 0, 1, 2 and y = 0, 2, 1: slope 1/2, intercept 1/2, R² = 1/4
    const { slope, intercept, r2 } = logLinearFit([
      { x: 1, y: 0 },
      { x: 2, y: 2 },
      { x: 4, y: 1 },
    ]);
    expect([slope, intercept, r2]).toEqual([0.5, 0.5, 0.25]);
  });

  it('finds any line exactly, and R² lies between 0 and 1 for any points', () => {
    const exponents = fc.uniqueArray(fc.integer({ min: -6, max: 10 }), { minLength: 2, maxLength: 8 });
    const number = fc.double({ min: -5, max: 5, noNaN: true });
    fc.assert(
      fc.property(exponents, number, number, fc.array(number, { minLength: 8, maxLength: 8 }), (es, a, b, noise) => {
        const line = logLinearFit(es.map((e) => ({ x: 2 ** e, y: a * e + b })));
        expect(line.slope).toBeCloseTo(a, 9);
        expect(line.intercept).toBeCloseTo(b, 9);
        const { r2 } = logLinearFit(es.map((e, i) => ({ x: 2 ** e, y: noise[i] ?? 0 })));
        expect(r2).toBeGreaterThanOrEqual(-1e-9);
        expect(r2).toBeLessThanOrEqual(1 + 1e-9);
      }),
    );
  });

  it('refuses too few points and a width that is not positive', () => {
    expect(() =>
      logLinearFit([
        { x: 2, y: 1 },
        { x: 2, y: 3 },
      ]),
    ).toThrow('at least two distinct x');
    expect(() =>
      logLinearFit([
        { x: 0, y: 1 },
        { x: 2, y: 3 },
      ]),
    ).toThrow('finite x above 0');
    expect(() =>
      logLinearFit([
        { x: 1, y: 1 },
        { x: Infinity, y: 2 },
      ]),
    ).toThrow('finite x above 0');
  });
});
