import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { groupedLinear, groupedLinears, Rng, routeTokens, ShapeError } from '../src/index';
import { goldenTolerance, maxRelativeError } from '../src/testing/index';
import { describeOnBackends } from './support/backends';

const rng = Rng.fromSeed('experts');
const random = (...shape: number[]) => tf.tensor(rng.normals(shape.reduce((a, b) => a * b, 1)), shape);
const integers = (...values: number[]) => tf.tensor1d(values, 'int32');
const list = (x: tf.Tensor) => [...x.dataSync()];

/** Routing by sorting pairs of token and expert, in float64. */
function reference(logits: readonly (readonly number[])[], k: number) {
  const probabilities = logits.map((row) => {
    const exps = row.map((each) => Math.exp(each - Math.max(...row)));
    return exps.map((each) => each / exps.reduce((a, b) => a + b));
  });
  const pairs = logits.flatMap((row, token) => {
    const order = row
      .map((value, expert) => ({ value, expert }))
      .sort((a, b) => b.value - a.value || a.expert - b.expert);
    const kept = order
      .slice(0, k)
      .map(({ expert }) => ({ token, expert, p: probabilities[token]?.[expert] as number }));
    const sum = kept.reduce((total, { p }) => total + p, 0);
    return kept.map((each) => ({ ...each, weight: each.p / sum }));
  });
  return { probabilities, pairs: pairs.sort((a, b) => a.expert - b.expert || a.token - b.token) };
}

describeOnBackends('experts', () => {
  it('multiply each row by the weight of its group alone', () => {
    const [x, offsets] = [random(6, 3), integers(0, 2, 2, 6)];
    const weights = [random(4, 3), random(4, 3), random(4, 3)];
    const [first, third] = [weights[0], weights[2]].map((weight) =>
      tf.matMul(x as tf.Tensor2D, weight as tf.Tensor2D, false, true),
    ) as [tf.Tensor2D, tf.Tensor2D];
    const expected = tf.concat([tf.slice(first, [0, 0], [2, 4]), tf.slice(third, [2, 0], [4, 4])]);
    const y = groupedLinear(x, weights, offsets);
    expect(y.shape).toEqual([6, 4]);
    expect(maxRelativeError(y.dataSync(), expected.dataSync())).toBeLessThan(goldenTolerance.forward);
  });

  it('leave a gradient of zeros where they had no rows, and add those of x over the sets', () => {
    const [x, offsets] = [random(3, 2), integers(0, 0, 3)];
    const sets = [0, 1].map(() => [random(5, 2), random(5, 2)]);
    const loss = (...[input, ...weights]: tf.Tensor[]) =>
      tf.addN(
        groupedLinears(input as tf.Tensor, [weights.slice(0, 2), weights.slice(2)], offsets).map((y) => tf.sum(y)),
      );
    const [dx, unreached, reached] = tf.grads(loss)([x, ...sets.flat()]) as [tf.Tensor, tf.Tensor, tf.Tensor];
    expect(list(unreached)).toEqual(new Array(10).fill(0));
    const ofColumns = list(tf.sum(x, 0));
    expect(maxRelativeError(list(reached), new Array(5).fill(ofColumns).flat())).toBeLessThan(goldenTolerance.gradient);
    const sums = list(tf.sum(tf.add(sets[0]?.[1] as tf.Tensor, sets[1]?.[1] as tf.Tensor), 0));
    expect(maxRelativeError(list(dx), [...sums, ...sums, ...sums])).toBeLessThan(goldenTolerance.gradient);
  });

  it('of no rows at all multiply nothing, and have gradients of zeros', () => {
    const weights = [random(5, 2), random(5, 2)];
    const loss = (...[x, ...rest]: tf.Tensor[]) => tf.sum(groupedLinear(x as tf.Tensor, rest, integers(0, 0, 0)));
    expect(groupedLinear(tf.zeros([0, 2]), weights, integers(0, 0, 0)).shape).toEqual([0, 5]);
    const [dx, ...dWeights] = tf.grads(loss)([tf.zeros([0, 2]), ...weights]) as [tf.Tensor, ...tf.Tensor[]];
    expect(dx.shape).toEqual([0, 2]);
    expect(dWeights.map(list)).toEqual([0, 1].map(() => new Array(10).fill(0)));
  });

  it.each([[[1, 2, 4]], [[0, 3, 2]], [[0, 2, 5]], [[0, 5, 4]]])(
    'refuse offsets that do not share out the rows: %j',
    (values) => {
      const call = () => groupedLinear(random(4, 3), [random(2, 3), random(2, 3)], integers(...values)).dataSync();
      expect(call).toThrow(/rise from 0 to/);
      expect(call).toThrow(/offsets/);
    },
  );

  it('refuse weights of other shapes, offsets of another number or type, and nothing at all', () => {
    const [x, w] = [random(4, 3), random(2, 3)];
    expect(() => groupedLinear(x, [w, random(3, 3)], integers(0, 2, 4))).toThrow(ShapeError);
    expect(() => groupedLinear(x, [w, random(2, 4)], integers(0, 2, 4))).toThrow('sets[0][1]');
    expect(() => groupedLinear(x, [w, w], integers(0, 4))).toThrow('One more than there are weights');
    expect(() => groupedLinear(x, [w], tf.tensor1d([0, 4]))).toThrow('int32');
    expect(() => groupedLinears(x, [], integers(0, 4))).toThrow('at least one set');
    expect(() => groupedLinear(x, [], integers(0))).toThrow('at least one set');
  });
});

describeOnBackends('routing', () => {
  it.each([
    [1, 1, 1],
    [13, 5, 2],
    [6, 4, 4],
    [70, 33, 3],
  ])('of %i tokens to %i experts, %i a token, is that of a sort, equal logits included', (N, E, k) => {
    // Few different values, so that many are equal.
    const logits = Array.from({ length: N }, () => Array.from({ length: E }, () => rng.int(4) / 2));
    const { probabilities, pairs } = reference(logits, k);
    const routed = routeTokens(tf.tensor2d(logits), k);
    expect(maxRelativeError(routed.probabilities.dataSync(), probabilities.flat())).toBeLessThan(
      goldenTolerance.forward,
    );
    expect(routed.weights.shape).toEqual([N * k, 1]);
    const weights = pairs.map(({ weight }) => weight);
    expect(maxRelativeError(routed.weights.dataSync(), weights)).toBeLessThan(goldenTolerance.forward);
    expect(list(routed.tokens)).toEqual(pairs.map(({ token }) => token));
    const rowsOf = (token: number) => pairs.flatMap((pair, row) => (pair.token === token ? [row] : []));
    expect(list(routed.rows)).toEqual(logits.flatMap((_, token) => rowsOf(token)));
    const before = (expert: number) => pairs.filter((pair) => pair.expert < expert).length;
    expect(list(routed.offsets)).toEqual(Array.from({ length: E + 1 }, (_, expert) => before(expert)));
    const shares = Array.from({ length: E }, (_, expert) => (before(expert + 1) - before(expert)) / N);
    expect(maxRelativeError(routed.shares.dataSync(), shares)).toBeLessThan(goldenTolerance.forward);
  });

  it('of no tokens is empty, with a gradient', () => {
    const routed = routeTokens(tf.zeros([0, 3]), 2);
    expect([routed.weights, routed.tokens, routed.rows].map(({ size }) => size)).toEqual([0, 0, 0]);
    expect([list(routed.offsets), list(routed.shares)]).toEqual([
      [0, 0, 0, 0],
      [0, 0, 0],
    ]);
    expect(tf.grad((x) => tf.sum(routeTokens(x, 2).weights))(tf.zeros([0, 3])).shape).toEqual([0, 3]);
  });

  it('stays within its lists where logits are no numbers', () => {
    const { tokens, rows } = routeTokens(
      tf.tensor2d([
        [NaN, NaN, NaN],
        [1, NaN, 0],
      ]),
      2,
    );
    expect(list(tokens).sort()).toEqual([0, 0, 1, 1]);
    expect(list(rows).sort()).toEqual([0, 1, 2, 3]);
  });

  it('refuses a number of experts that a token cannot have', () => {
    for (const k of [0, 4, 1.5]) expect(() => routeTokens(tf.zeros([2, 3]), k)).toThrow('a whole number from 1 to 3');
  });
});
