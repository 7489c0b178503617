import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Rng } from '../src/index';

describe('seeded random numbers', () => {
  it('are the same forever', () => {
    const rng = Rng.fromSeed(7);
    expect(Array.from({ length: 4 }, () => rng.uniform())).toMatchInlineSnapshot(`
      [
        0.8367698537185788,
        0.4005063252989203,
        0.2118270113132894,
        0.607137234415859,
      ]
    `);
    expect(Rng.fromSeed('text').fork('model.norm').normal()).toMatchInlineSnapshot(`2.1274257432621346`);
  });

  it('of a fork depend on its name alone, not on draws or on other forks', () => {
    fc.assert(
      fc.property(fc.integer(), fc.string(), fc.nat(20), (seed, label, draws) => {
        const [a, b] = [Rng.fromSeed(seed), Rng.fromSeed(seed)];
        for (let i = 0; i < draws; i++) a.uniform();
        a.fork('another');
        expect(a.fork(label).uniform()).toBe(b.fork(label).uniform());
      }),
    );
  });

  it('go on from a saved state', () => {
    const rng = Rng.fromSeed(1);
    rng.uniform();
    const copy = Rng.fromState(rng.state());
    expect(copy.normals(5)).toEqual(rng.normals(5));
  });

  it('have the moments of a normal distribution', () => {
    const values = Rng.fromSeed(2).normals(40_000, 2);
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
    expect(Math.abs(mean)).toBeLessThan(0.03);
    expect(Math.abs(variance - 4)).toBeLessThan(0.1);
  });

  it('shuffle into a permutation', () => {
    fc.assert(
      fc.property(fc.nat(50), fc.integer(), (size, seed) => {
        const items = Array.from({ length: size }, (_, i) => i);
        expect([...Rng.fromSeed(seed).shuffle([...items])].sort((a, b) => a - b)).toEqual(items);
      }),
    );
  });
});
