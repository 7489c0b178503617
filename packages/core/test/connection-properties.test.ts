import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  blockMix,
  connectionStep,
  depthConnection,
  Rng,
  rmsNorm,
  ShapeError,
  staticAlpha,
  staticBeta,
  widthConnection,
  type ConnectionParameters,
} from '../src/index';
import { connectionCases, connectionOf, evaluateCase, maxRelativeError, normalInput } from '../src/testing/index';
import { describeOnBackends } from './support/backends';

const eps = 1e-6;

/** m ≤ n, db and a number of tokens, with the seed of the numbers. */
const sizes = fc
  .record({ m: fc.integer({ min: 1, max: 4 }), extra: fc.integer({ min: 0, max: 5 }) })
  .chain(({ m, extra }) =>
    fc.record({
      m: fc.constant(m),
      n: fc.constant(m + extra),
      db: fc.integer({ min: 1, max: 6 }),
      tokens: fc.integer({ min: 1, max: 5 }),
      seed: fc.integer(),
    }),
  );

function initial(m: number, n: number, db: number): Required<ConnectionParameters> {
  return {
    staticAlpha: tf.tensor(staticAlpha(m, n), [n, m + n]),
    staticBeta: tf.tensor(staticBeta(m, n), [n, m]),
    dynamic: {
      normWeight: tf.ones([db]),
      alphaFn: tf.zeros([db, m + n]),
      betaFn: tf.zeros([db, m]),
      alphaScale: tf.ones([n, m + n]),
      betaScale: tf.ones([n, m]),
    },
  };
}

const fixedOnly = ({ staticAlpha, staticBeta }: ConnectionParameters): ConnectionParameters => ({
  staticAlpha,
  staticBeta,
});

const close = (actual: tf.Tensor, expected: tf.Tensor, tolerance = 1e-6) => {
  expect(actual.shape).toEqual(expected.shape);
  expect(maxRelativeError(actual.dataSync(), expected.dataSync())).toBeLessThan(tolerance);
};

const check = <T>(arbitrary: fc.Arbitrary<T>, property: (value: T) => void) =>
  fc.assert(
    fc.property(arbitrary, (value) => {
      tf.engine().startScope();
      property(value);
      tf.engine().endScope();
    }),
    { numRuns: 25, seed: 1 },
  );

describeOnBackends('connections', () => {
  it('the initial dynamic connection equals the static one', () =>
    check(sizes, ({ m, n, db, tokens, seed }) => {
      const rng = Rng.fromSeed(seed);
      const [h, out] = [normalInput(rng, [tokens, n * db]), normalInput(rng, [tokens, m * db])];
      const around = (parameters: ConnectionParameters) => {
        const { x, carry, beta } = widthConnection(h, parameters, { m, n, eps });
        return [x, depthConnection(out, carry, beta, { m, n })] as const;
      };
      const dynamic = around(initial(m, n, db));
      around(fixedOnly(initial(m, n, db))).forEach((expected, i) => close(dynamic[i] as tf.Tensor, expected));
    }));

  it('a static connection with m = n = 1 at its initial value is the plain residual stream', () =>
    check(sizes, ({ db, tokens, seed }) => {
      const rng = Rng.fromSeed(seed);
      const [h, out] = [normalInput(rng, [tokens, db]), normalInput(rng, [tokens, db])];
      const { x, carry, beta } = widthConnection(h, fixedOnly(initial(1, 1, db)), { m: 1, n: 1, eps });
      close(x, h);
      close(depthConnection(out, carry, beta, { m: 1, n: 1 }), tf.add(h, out));
    }));

  it('the initial connection reads the first m slots in order and writes segment j mod m into slot j', () =>
    check(sizes, ({ m, n, db, tokens, seed }) => {
      const rng = Rng.fromSeed(seed);
      const [h, out] = [normalInput(rng, [tokens, n * db]), normalInput(rng, [tokens, m * db])];
      const { x, carry, beta } = widthConnection(h, fixedOnly(initial(m, n, db)), { m, n, eps });
      close(x, tf.slice(h, [0, 0], [tokens, m * db]));
      const written = Array.from({ length: n }, (_, j) => tf.slice(out, [0, (j % m) * db], [tokens, db]));
      close(depthConnection(out, carry, beta, { m, n }), tf.add(h, tf.concat(written, 1)));
    }));

  it('tokens do not see each other: a batch gives what its tokens give alone', () =>
    check(sizes, ({ m, n, db, tokens, seed }) => {
      const rng = Rng.fromSeed(seed);
      const h = normalInput(rng, [tokens, n * db]);
      const parameters = initial(m, n, db);
      const dynamic = {
        ...parameters.dynamic,
        alphaFn: normalInput(rng, [db, m + n]),
        betaFn: normalInput(rng, [db, m]),
      };
      const width = (h: tf.Tensor) => widthConnection(h, { ...parameters, dynamic }, { m, n, eps });
      const alone = tf.unstack(h).map((token) => width(token));
      const together = width(h);
      close(together.x, tf.stack(alone.map(({ x }) => x)), 1e-5);
      close(together.beta, tf.stack(alone.map(({ beta }) => beta)), 1e-5);
    }));

  for (const opCase of connectionCases.filter(({ op, size }) => op === 'connectionStep' && size === 'small'))
    it(`a step equals a depth then a width connection, then a norm if it has one, in value and every gradient: ${opCase.name}`, () => {
      const [, m, n] = /m=(\d+) n=(\d+)/.exec(opCase.name)?.map(Number) as [number, number, number];
      const composed = evaluateCase({
        ...opCase,
        run: ({ h, out, ...rest }) => {
          const at = { m, n, eps: 0.5 };
          const { carry, beta } = widthConnection(h as tf.Tensor, connectionOf(rest, 'previous.'), at);
          const next = depthConnection(out as tf.Tensor, carry, beta, at);
          const { x } = widthConnection(next, connectionOf(rest, 'next.'), at);
          return [next, rest.sublayerNorm ? rmsNorm(x, rest.sublayerNorm, 2) : x];
        },
      });
      const step = evaluateCase(opCase);
      composed.outputs.forEach(({ values }, i) =>
        expect(maxRelativeError(step.outputs[i]?.values ?? [], values), `output ${i}`).toBeLessThan(1e-5),
      );
      for (const [name, { values }] of Object.entries(composed.gradients))
        expect(maxRelativeError(step.gradients[name]?.values ?? [], values), `gradient of ${name}`).toBeLessThan(5e-5);
    });

  it('block mix gives each segment W_mix times its two normalised halves, whatever its place', () =>
    check(sizes, ({ n, db, seed }) => {
      const rng = Rng.fromSeed(seed);
      const [hidden, embed] = [normalInput(rng, [n * db]), normalInput(rng, [n * db])];
      const [hiddenNorm, embedNorm] = [normalInput(rng, [db], 0.2, 1), normalInput(rng, [db], 0.2, 1)];
      const mix = normalInput(rng, [db, 2 * db]);
      const normalise = (x: Float32Array, weight: Float32Array) => {
        const scale = 1 / Math.sqrt(x.reduce((sum, each) => sum + each * each, 0) / db + eps);
        return Array.from(x, (each, i) => each * scale * (weight[i] as number));
      };
      const [w, hv, ev] = [mix, hidden, embed].map((each) => each.dataSync() as Float32Array) as [
        Float32Array,
        Float32Array,
        Float32Array,
      ];
      const expected = Array.from({ length: n }, (_, slot) => {
        const both = [
          ...normalise(hv.subarray(slot * db, (slot + 1) * db), hiddenNorm.dataSync() as Float32Array),
          ...normalise(ev.subarray(slot * db, (slot + 1) * db), embedNorm.dataSync() as Float32Array),
        ];
        return Array.from({ length: db }, (_, i) =>
          both.reduce((sum, each, j) => sum + each * (w[i * 2 * db + j] as number), 0),
        );
      }).flat();
      const mixed = blockMix(hidden, embed, { hiddenNorm, embedNorm, mix }, { n, eps });
      expect(maxRelativeError(mixed.dataSync(), expected)).toBeLessThan(2e-5);
    }));

  it('says which tensor has the wrong shape, what it should be and what it is', () => {
    const [m, n, db] = [2, 3, 4];
    const parameters = initial(m, n, db);
    const at = { m, n, eps };
    const h = tf.zeros([5, n * db]);
    const out = tf.zeros([5, m * db]);
    const message = (call: () => unknown): string => {
      try {
        call();
      } catch (error) {
        expect(error).toBeInstanceOf(ShapeError);
        return (error as ShapeError).message;
      }
      throw new Error('no error was thrown');
    };
    expect(message(() => widthConnection(tf.zeros([5, 13]), parameters, at))).toBe(
      'widthConnection: the over-width state does not consist of n slots: expected a last dimension that is a multiple of n = 3, got [5, 13]. h is [..., n·db], slot after slot, with db = D/m',
    );
    expect(message(() => widthConnection(h, { ...parameters, staticBeta: tf.zeros([2, 3]) }, at))).toBe(
      'widthConnection: staticBeta has the wrong shape: expected [3, 2], got [2, 3]. Bᵀ is [n, m]',
    );
    expect(message(() => depthConnection(tf.zeros([5, 12]), h, parameters.staticBeta, at))).toContain(
      'depthConnection: out has the wrong shape: expected [5, 8], got [5, 12]',
    );
    expect(message(() => depthConnection(out, h, tf.zeros([5, 1, 3, 2]), at))).toContain(
      'expected [n, m] (static) or [..., n, m] (dynamic), got [5, 1, 3, 2]',
    );
    expect(message(() => connectionStep(h, out, parameters, fixedOnly(parameters), at))).toContain(
      'one connection is dynamic and the other static',
    );
    expect(message(() => connectionStep(h, out, parameters, parameters, at, { weight: tf.ones([db]), eps }))).toBe(
      'connectionStep: norm.weight has the wrong shape: expected [8], got [4]. The sublayer sees the backbone width D = m·db',
    );
    expect(message(() => widthConnection(tf.zeros([5, 12], 'int32'), parameters, at))).toContain(
      "expected float32, got int32. Convert it with tf.cast(h, 'float32')",
    );
    const norms = { hiddenNorm: tf.ones([db]), embedNorm: tf.ones([db]), mix: tf.zeros([db, db]) };
    expect(message(() => blockMix(h, h, norms, { n, eps }))).toContain(
      'mix has the wrong shape: expected [4, 8], got [4, 4]',
    );
  });
});
