import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConfigError, cost, costTable, parseModelConfig } from '../src/index';

const backbone = {
  vocab_size: 1000,
  hidden_size: 48,
  intermediate_size: 96,
  num_hidden_layers: 1,
  num_attention_heads: 4,
};
const withWidth = (m: number, n: number) =>
  parseModelConfig({ ...backbone, virtual_width: { m, n, reduce_norm: n % m === 0 ? 'rms' : 'none' } });

describe('the cost model', () => {
  it('gives the paper’s figures at (2,3): norm, coefficients and width connection 42D, depth connection 6D a sublayer', () => {
    const { flops } = cost(withWidth(2, 3)).model;
    const sublayers = 2;
    expect((flops.connectionNorm + flops.dynamicCoefficients + flops.widthConnection) / sublayers / 48).toBe(42);
    expect(flops.depthConnection / sublayers / 48).toBe(6);
  });

  it('gives the paper’s memory at (2,3), η = 0.5: 3D bytes a token a layer more, 8.8 %', () => {
    const { model, plain } = cost(withWidth(2, 3), { sequenceLength: 1, eta: 0.5 });
    expect(model.activationBytes - plain.activationBytes).toBe(3 * 48);
    expect(model.activationBytes / plain.activationBytes - 1).toBeCloseTo(0.088, 3);
  });

  it('gives the connection’s forward cost 2592D at (8,64)', () => {
    const { flops } = cost(withWidth(8, 64)).model;
    const connections =
      flops.connectionNorm + flops.dynamicCoefficients + flops.widthConnection + flops.depthConnection;
    const arithmetic = (4 * 64 * (8 + 2) + 4 * 8) * 48; // [4n(r+2) + 4r]·D
    expect(connections / 2).toBe(arithmetic);
    expect(arithmetic / 48).toBe(2592);
  });

  it('r does not change backbone FLOPs', () => {
    fc.assert(
      fc.property(fc.constantFrom(1, 2, 4), fc.integer({ min: 1, max: 8 }), (m, r) => {
        const { model, plain } = cost(withWidth(m, m * r));
        expect(model.flops.backbone).toBe(plain.flops.backbone);
      }),
    );
  });

  it('grows linearly in r where naive widening grows with r²', () => {
    const at = (r: number) => cost(withWidth(1, r)).model.flops.connectionNorm;
    expect(at(8)).toBe(8 * at(1));
    const { widened, plain } = cost(withWidth(4, 16));
    expect(widened.flops.backbone / plain.flops.backbone).toBeGreaterThan(6);
  });

  it.each([
    { sequenceLength: 0 },
    { sequenceLength: 1.5 },
    { batchSize: NaN },
    { eta: -0.1 },
    { eta: 1.1 },
    { eta: NaN },
  ])('refuses %j', (options) => {
    expect(() => cost(withWidth(1, 1), options)).toThrow(ConfigError);
    expect(() => cost(withWidth(1, 1), options)).toThrow(`cost: ${Object.keys(options)[0]} is`);
  });

  it('prints a row of ratios to the plain model', () => {
    const rows = costTable(cost(withWidth(4, 8)));
    expect(rows[0]).toEqual(['', 'this model', 'plain', 'plain, 2x as wide']);
    expect(rows.find(([label]) => label === 'parameters')?.[1]).toMatch(/k$/);
  });
});
