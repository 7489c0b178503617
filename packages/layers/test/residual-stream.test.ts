import { connectionKernelNames, hasNativeKernel, KernelName, Rng, rmsNorm } from '@vwn/core';
import { maxRelativeError, normalInput } from '@vwn/core/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { describeOnBackends } from '../../core/test/support/backends';
import { Connection, Parameters, RmsNormLayer, runSublayers, type Sublayer } from '../src/index';

const [hiddenSize, m, n] = [8, 2, 3];
const [D, overWidth] = [hiddenSize, (hiddenSize / m) * n];

/** Three sublayers x → tanh(x)·W behind a norm; connections of each kind, or none at all. */
function sublayersOf(kinds: readonly ('dynamic' | 'static' | 'plain')[]): {
  sublayers: Sublayer[];
  weights: tf.Variable[];
} {
  const parameters = new Parameters({ seed: 1 });
  const rng = Rng.fromSeed('sublayers');
  const sublayers = kinds.map((kind, l): Sublayer => {
    const scope = parameters.scope(`sublayer${l}`);
    const norm = new RmsNormLayer({ width: D, eps: 0.1 }, scope);
    norm.weight.assign(tf.tidy(() => normalInput(rng.fork(`norm${l}`), [D], 0.2, 1)));
    const weight = normalInput(rng.fork(`weight${l}`), [D, D], 0.5);
    const options = { hiddenSize, m, n, dynamic: kind === 'dynamic' };
    return {
      connection: kind === 'plain' ? undefined : new Connection(options, scope),
      norm,
      apply: (x) => tf.reshape(tf.matMul(tf.reshape(tf.tanh(x), [-1, D]), weight as tf.Tensor2D), x.shape),
    };
  });
  return { sublayers, weights: sublayers.map(({ norm }) => norm?.weight as tf.Variable) };
}

/** The same with the norm inside, of which nothing around the sublayer knows. */
const closed = ({ connection, norm, apply }: Sublayer): Sublayer => ({
  connection,
  apply: (x) => apply(norm ? rmsNorm(x, norm.weight, norm.eps) : x),
});

const kinds = [
  ['dynamic', 'dynamic', 'dynamic'],
  ['static', 'static', 'static'],
  ['dynamic', 'static', 'dynamic'],
  ['plain', 'plain', 'plain'],
] as const;

describeOnBackends('sublayers whose norm is given apart', () => {
  it.each(kinds)('give what they give with the norm inside, and so does every gradient: %s, %s, %s', (...each) => {
    const { sublayers, weights } = sublayersOf(each);
    const h = normalInput(Rng.fromSeed('h'), [2, 5, each[0] === 'plain' ? D : overWidth]);
    const of = (list: Sublayer[]) => {
      const loss = (state: tf.Tensor) => tf.sum(tf.square(runSublayers(state, list))) as tf.Scalar;
      const ofWeights = tf.variableGrads(() => loss(h), weights).grads;
      return [runSublayers(h, list), tf.grad(loss)(h), ...weights.map(({ name }) => ofWeights[name] as tf.Tensor)];
    };
    const expected = of(sublayers.map(closed));
    of(sublayers).forEach((actual, i) =>
      expect(maxRelativeError(actual.dataSync(), expected[i]?.dataSync() ?? [])).toBeLessThan(2e-5),
    );
  });

  it('give it one by one, too: around() takes the norm or leaves it to the sublayer', () => {
    const h = normalInput(Rng.fromSeed('h'), [3, overWidth]);
    for (const { connection, norm, apply } of sublayersOf(['dynamic', 'static']).sublayers) {
      const inside = connection?.around(h, (x) => apply(rmsNorm(x, norm?.weight as tf.Tensor, 0.1)));
      const apart = connection?.around(h, apply, norm);
      expect(maxRelativeError(apart?.dataSync() ?? [], inside?.dataSync() ?? [])).toBeLessThan(1e-6);
    }
  });

  it('run no norm of their own where the backend takes it into the connection, and else one each', async () => {
    const { sublayers } = sublayersOf(['dynamic', 'dynamic', 'dynamic']);
    const h = normalInput(Rng.fromSeed('h'), [3, overWidth]);
    const { kernels } = await tf.profile(() => runSublayers(h, sublayers));
    const isFused = hasNativeKernel(connectionKernelNames({ write: true, read: true, dynamic: true, normed: true })[0]);
    expect(kernels.filter(({ name }) => name === 'VwnRmsNorm')).toHaveLength(isFused ? 0 : 3);
  });

  it('leave no sum to tfjs where gradients come from two places: of coefficients one kernel adds all, of the state the first read', async () => {
    const { sublayers } = sublayersOf(['dynamic', 'dynamic', 'dynamic']);
    const h = tf.variable(normalInput(Rng.fromSeed('h'), [3, overWidth]));
    const parameters = sublayers.flatMap(({ connection }) => {
      const { staticAlpha, dynamic } = connection?.parameters ?? {};
      return [staticAlpha, dynamic?.normWeight, dynamic?.alphaFn, dynamic?.alphaScale] as tf.Variable[];
    });
    const { kernels } = await tf.profile(() =>
      tf.variableGrads(() => tf.sum(runSublayers(h, sublayers)) as tf.Scalar, [h, ...parameters]),
    );
    const isFused = hasNativeKernel(connectionKernelNames({ write: true, read: true, dynamic: true, normed: true })[0]);
    expect(kernels.filter(({ name }) => name === 'VwnAddPairs')).toHaveLength(isFused ? 1 : 0);
    if (isFused) expect(kernels.filter(({ name }) => name === 'Add' || name === 'AddN')).toHaveLength(0);
  });

  it('are one kernel with the residual sum before them in a plain transformer, but for the first', async () => {
    const { sublayers } = sublayersOf(['plain', 'plain', 'plain']);
    const h = normalInput(Rng.fromSeed('h'), [3, D]);
    const { kernels } = await tf.profile(() => runSublayers(h, sublayers));
    const names = kernels.map(({ name }) => name);
    expect(names.filter((name) => name.startsWith('Vwn'))).toEqual([
      'VwnRmsNorm',
      'VwnResidualStep',
      'VwnResidualStep',
    ]);
    // Elsewhere the composed step has sums inside. The last one has no norm behind it.
    if (hasNativeKernel(KernelName.ResidualStep)) expect(names.filter((name) => name === 'Add')).toHaveLength(1);
  });

  it('let a sublayer have none: it gets the state itself', () => {
    const h = normalInput(Rng.fromSeed('h'), [3, D]);
    const double: Sublayer = { connection: undefined, apply: (x) => tf.mul(x, 2) };
    expect(maxRelativeError(runSublayers(h, [double, double]).dataSync(), tf.mul(h, 9).dataSync())).toBeLessThan(1e-6);
    expect(runSublayers(h, [])).toBe(h);
  });
});
