import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import * as core from '../src/index';
import { Rng, ShapeError } from '../src/index';
import { goldenTolerance, maxRelativeError } from '../src/testing/index';
import { describeOnBackends, useTestBackend } from './support/backends';
import * as reference from './support/reference';

const rng = Rng.fromSeed('transformer operations');
const random = (...shape: number[]) => tf.tensor(rng.normals(shape.reduce((a, b) => a * b, 1)), shape);
const expectClose = (actual: tf.Tensor, expected: number[]) =>
  expect(maxRelativeError(actual.dataSync(), expected)).toBeLessThan(goldenTolerance.forward);

describeOnBackends('float64 references', () => {
  it('linear', () => {
    const [x, w] = [random(3, 5), random(4, 5)];
    expectClose(
      core.linear(x, w),
      reference.linearReference(x.arraySync() as number[][], w.arraySync() as number[][]).flat(),
    );
  });

  it('rmsNorm, groupRmsNorm and groupLayerNorm', () => {
    const [x, w, b] = [random(2, 6), random(6), random(6)];
    const rows = x.arraySync() as number[][];
    const [weight, bias] = [w.arraySync() as number[], b.arraySync() as number[]];
    expectClose(
      core.rmsNorm(x, w, 1e-3),
      rows.flatMap((row) => reference.rmsReference(row, weight, 1e-3)),
    );
    const inGroups = (norm: (part: number[], from: number) => number[]) =>
      rows.flatMap((row) => [0, 3].flatMap((from) => norm(row.slice(from, from + 3), from)));
    const part = (values: number[], from: number) => values.slice(from, from + 3);
    expectClose(
      core.groupRmsNorm(x, w, 3, 1e-3),
      inGroups((row, from) => reference.rmsReference(row, part(weight, from), 1e-3)),
    );
    expectClose(
      core.groupLayerNorm(x, w, b, 3, 1e-3),
      inGroups((row, from) => reference.layerReference(row, part(weight, from), part(bias, from), 1e-3)),
    );
  });

  it('residualStep: the sum, and its norm', () => {
    const [h, out, w] = [random(2, 3, 6), random(2, 3, 6), random(6)];
    const sums = tf.reshape(tf.add(h, out), [6, 6]).arraySync() as number[][];
    const step = core.residualStep(h, out, { weight: w, eps: 1e-3 });
    expectClose(step.h, sums.flat());
    expectClose(
      step.x,
      sums.flatMap((row) => reference.rmsReference(row, w.arraySync() as number[], 1e-3)),
    );
    expect([step.h.shape, step.x.shape]).toEqual([h.shape, h.shape]);
  });

  it('residualStep has the gradient of a sum where only that is used, and of a norm where only that is', () => {
    const [h, out, w] = [random(2, 8), random(2, 8), random(8)];
    const gradients = (pick: 'h' | 'x') =>
      tf.grads((a, b, weight) =>
        tf.sum(core.residualStep(a as tf.Tensor, b as tf.Tensor, { weight: weight as tf.Tensor, eps: 1e-3 })[pick]),
      )([h, out, w]);
    expect(gradients('h').map((each) => [...each.dataSync()])).toEqual(
      [16, 16, 8].map((n, i) => Array(n).fill(+(i < 2))),
    );
    const [dh, dOut, dWeight] = gradients('x') as [tf.Tensor, tf.Tensor, tf.Tensor];
    const [dSum, dNorm] = tf.grads((x, weight) => tf.sum(core.rmsNorm(x as tf.Tensor, weight as tf.Tensor, 1e-3)))([
      tf.add(h, out),
      w,
    ]) as [tf.Tensor, tf.Tensor];
    for (const each of [dh, dOut]) expectClose(each, [...dSum.dataSync()]);
    expectClose(dWeight, [...dNorm.dataSync()]);
  });

  it.each([
    [4, 4, 2, 2],
    [4, 4, 6, 2],
    [2, 7, 4, 1],
    [1, 5, 2, 2],
  ])('causalAttention of %i queries over %i keys with %i heads in groups of %i', (T, S, H, K) => {
    const d = 6;
    const [q, k, v] = [random(2, T, H, d), random(2, S, K, d), random(2, S, K, d)];
    const head = (x: tf.Tensor, b: number, h: number) =>
      (tf.squeeze(tf.slice(x, [b, 0, h, 0], [1, -1, 1, d]), [0, 2]) as tf.Tensor2D).arraySync();
    const out = core.causalAttention(q, k, v);
    for (const b of [0, 1])
      for (let h = 0; h < H; h++) {
        const group = Math.floor((h * K) / H);
        expectClose(
          tf.squeeze(tf.slice(out, [b, 0, h, 0], [1, -1, 1, d]), [0, 2]),
          reference.attentionReference(head(q, b, h), head(k, b, group), head(v, b, group)).flat(),
        );
      }
  });

  it('rotaryEmbedding, and back', () => {
    const x = random(1, 3, 2, 8);
    const values = x.arraySync() as number[][][][];
    const turned = (values[0] as number[][][]).flatMap((heads, t) =>
      heads.flatMap((head) => reference.rotaryReference(head, 5 + t, 100)),
    );
    expectClose(core.rotaryEmbedding(x, { theta: 100, offset: 5 }), turned);
  });

  it('linearCrossEntropy, ignored rows 0, the same in any chunks', () => {
    const [h, w] = [random(5, 4), random(7, 4)];
    const targets = [3, -100, 0, 6, -100];
    const expected = targets.map((target, i) =>
      target < 0
        ? 0
        : reference.crossEntropyReference(
            (h.arraySync() as number[][])[i] as number[],
            w.arraySync() as number[][],
            target,
          ),
    );
    for (const chunkRows of [1, 2, 5, 100])
      expectClose(core.linearCrossEntropy(h, w, tf.tensor1d(targets, 'int32'), { chunkRows }), expected);
  });

  it('meanCrossEntropy is the mean of linearCrossEntropy, and so are its gradients, scaled by what comes after', () => {
    const [h, w] = [random(5, 4), random(7, 4)];
    const targets = tf.tensor1d([3, -100, 0, 6, -100], 'int32');
    const gradientsOf = (loss: (h: tf.Tensor, w: tf.Tensor) => tf.Tensor) =>
      tf.valueAndGrads((a, b) => tf.mul(loss(a, b), 3))([h, w]);
    const wanted = gradientsOf((a, b) => tf.mean(core.linearCrossEntropy(a, b, targets)));
    for (const chunkRows of [1, 2, 100]) {
      const { value, grads } = gradientsOf((a, b) => core.meanCrossEntropy(a, b, targets, { chunkRows }));
      expectClose(value, Array.from(wanted.value.dataSync()));
      grads.forEach((grad, i) => expectClose(grad, Array.from((wanted.grads[i] as tf.Tensor).dataSync())));
    }
    expectClose(core.meanCrossEntropy(h, w, targets), [(wanted.value.dataSync()[0] as number) / 3]);
  });

  it('meanCrossEntropy makes gradients in the forward pass only where one is taken', async () => {
    const [h, w, targets] = [random(2, 3), random(4, 3), tf.tensor1d([1, 2], 'int32')];
    const seen = async (run: () => tf.Tensor) =>
      (await tf.profile(run)).kernels.map(({ name }) => name).filter((name) => name.includes('CrossEntropy'));
    expect(await seen(() => core.meanCrossEntropy(h, w, targets))).toEqual([core.KernelName.LinearCrossEntropy]);
    const gradient = () => tf.grad((x) => core.meanCrossEntropy(x, w, targets))(h);
    expect(await seen(gradient)).toEqual([core.KernelName.MeanCrossEntropy]);
  });

  const gradientSquares = (loss: (x: tf.Tensor) => tf.Tensor) => (x: tf.Tensor) => tf.sum(tf.square(tf.grad(loss)(x)));

  it.each<[string, (x: tf.Tensor, loss: (x: tf.Tensor) => tf.Tensor) => tf.Tensor]>([
    ['of hidden alone', (x, loss) => gradientSquares(loss)(x)],
    ['beside another way to hidden', (x, loss) => tf.add(gradientSquares(loss)(x), tf.sum(x))],
    ['of a hidden state that is gone by then', (x, loss) => gradientSquares((y) => loss(tf.mul(y, 2)))(x)],
    ['of what its gradient is multiplied by', (x, loss) => gradientSquares((y) => tf.square(loss(y)))(x)],
  ])('meanCrossEntropy refuses a second derivative, and says how to make one: %s', (_name, run) => {
    const [w, targets] = [random(4, 3), tf.tensor1d([0, 3], 'int32')];
    const second = () => tf.grad((x) => run(x, (y) => core.meanCrossEntropy(y, w, targets)))(random(2, 3));
    expect(second).toThrow(core.ConfigError);
    expect(second).toThrow(/meanCrossEntropy has no second derivative.* differences of gradients/);
  });

  it('meanCrossEntropy has its first derivative inside another gradient, where nothing is taken through it', () => {
    const [h, w, targets] = [random(2, 3), random(4, 3), tf.tensor1d([0, 3], 'int32')];
    const gradient = tf.grad((x) => core.meanCrossEntropy(x, w, targets));
    const upstream = tf.grad((x) => tf.sum(tf.mul(x, gradient(h))))(random(2, 3));
    expectClose(upstream, Array.from(gradient(h).dataSync()));
  });

  it('meanCrossEntropy of no rows is NaN, of ignored rows 0, with gradients of 0 and without', () => {
    const w = random(4, 3);
    const ignored = tf.tensor1d([-100, -100], 'int32');
    for (const [h, targets, wanted] of [
      [tf.zeros([0, 3]), tf.tensor1d([], 'int32'), NaN],
      [random(2, 3), ignored, 0],
    ] as const) {
      const loss = (a: tf.Tensor, b: tf.Tensor) => core.meanCrossEntropy(a, b, targets);
      expect([...loss(h, w).dataSync()]).toEqual([wanted]);
      const { value, grads } = tf.valueAndGrads(loss)([h, w]);
      expect([...value.dataSync()]).toEqual([wanted]);
      expect(grads.map(({ shape }) => shape)).toEqual([h.shape, w.shape]);
      expect(grads.flatMap((each) => [...each.dataSync()].map(Math.abs)).every((each) => each === 0)).toBe(true);
    }
  });

  it.each([2 ** 31 - 1, -(2 ** 31), 0])('a cross-entropy ignores any int32 that it is told to: %d', (ignoreIndex) => {
    const [h, w, targets] = [random(2, 3), random(4, 3), tf.tensor1d([ignoreIndex, 2], 'int32')];
    const losses = core.linearCrossEntropy(h, w, targets, { ignoreIndex }).dataSync();
    expect([losses[0], (losses[1] as number) > 0]).toEqual([0, true]);
    const mean = tf.valueAndGrad((x) => core.meanCrossEntropy(x, w, targets, { ignoreIndex }))(h).value;
    expectClose(mean, [(losses[1] as number) / 2]);
  });

  it('norms of rows without numbers are empty, and so are their gradients', () => {
    const [x, w] = [tf.zeros([3, 0]), tf.zeros([0])];
    const norms: ((x: tf.Tensor, w: tf.Tensor) => tf.Tensor)[] = [
      (a, b) => core.rmsNorm(a, b, 1e-6),
      (a, b) => core.groupRmsNorm(a, b, 2, 1e-6),
      (a, b) => core.residualStep(a, a, { weight: b, eps: 1e-6 }).x,
    ];
    for (const norm of norms) {
      expect(norm(x, w).shape).toEqual([3, 0]);
      const shapes = tf
        .grads((a, b) => norm(a as tf.Tensor, b as tf.Tensor))([x, w])
        .map(({ shape }) => shape);
      expect(shapes).toEqual([[3, 0], [0]]);
    }
  });

  it('embeddingLookup adds up the gradients of repeated ids', () => {
    const table = random(4, 2);
    const ids = tf.tensor1d([1, 3, 1], 'int32');
    const grad = tf.grad((t) => tf.sum(core.embeddingLookup(t, ids)))(table);
    expect(Array.from(grad.dataSync())).toEqual([0, 0, 2, 2, 0, 0, 1, 1]);
  });

  it('softmax survives scores that overflow exp', () => {
    const q = tf.fill([1, 3, 1, 4], 60);
    expect(Array.from(core.causalAttention(q, q, q).dataSync())).toEqual(new Array(12).fill(60));
    const losses = core.linearCrossEntropy(tf.fill([1, 4], 60), tf.fill([3, 4], 60), tf.tensor1d([1], 'int32'));
    expect(losses.dataSync()[0]).toBeCloseTo(Math.log(3), 2);
  });

  it('adamW takes two steps as torch.optim.AdamW does', () => {
    // torch 2.13: p = [1, -2], grads [0.5, -1], [0.1, 0.3], lr 0.1, betas (0.9, 0.95), eps 1e-8, weight_decay 0.1
    let state = { param: tf.tensor1d([1, -2]), m: tf.zeros([2]), v: tf.zeros([2]) } as {
      param: tf.Tensor;
      m: tf.Tensor;
      v: tf.Tensor;
    };
    const options = { lr: 0.1, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 };
    for (const [i, grad] of [
      [0.5, -1],
      [0.1, 0.3],
    ].entries())
      state = core.adamW(state.param, tf.tensor1d(grad), state.m, state.v, { ...options, step: i + 1 });
    expectClose(
      state.param,
      adamReference(
        [1, -2],
        [
          [0.5, -1],
          [0.1, 0.3],
        ],
      ),
    );
  });

  it('globalNorm is the root of the sum of all squares', () => {
    expect(core.globalNorm([tf.tensor1d([1, 2]), tf.tensor2d([[4], [10]])]).dataSync()[0]).toBeCloseTo(11, 5);
    expect(core.globalNorm([]).dataSync()[0]).toBe(0);
  });
});

/** The update written out (Loshchilov and Hutter, algorithm 2, with torch's place of eps). */
function adamReference(start: number[], grads: number[][]): number[] {
  return start.map((value, i) => {
    let [p, m, v] = [value, 0, 0];
    grads.forEach((grad, t) => {
      const g = grad[i] as number;
      p *= 1 - 0.1 * 0.1;
      m = 0.9 * m + 0.1 * g;
      v = 0.95 * v + 0.05 * g * g;
      p -= (0.1 * (m / (1 - 0.9 ** (t + 1)))) / (Math.sqrt(v / (1 - 0.95 ** (t + 1))) + 1e-8);
    });
    return p;
  });
}

describe('wrong shapes', () => {
  it.each<[string, () => unknown, RegExp]>([
    [
      'linear',
      () => core.linear(random(2, 3), random(4, 5)),
      /linear: x has the wrong shape: expected \[\.\.\., 5\], got \[2, 3\]/,
    ],
    [
      'rmsNorm',
      () => core.rmsNorm(random(2, 3), random(4), 1e-6),
      /rmsNorm: weight has the wrong shape: expected \[3\], got \[4\]/,
    ],
    [
      'residualStep',
      () => core.residualStep(random(2, 3), random(2, 1), { weight: random(3), eps: 1e-6 }),
      /residualStep: out has the wrong shape: expected \[2, 3\], got \[2, 1\]/,
    ],
    [
      'residualStep behind a norm of another width',
      () => core.residualStep(random(2, 3), random(2, 3), { weight: random(2), eps: 1e-6 }),
      /residualStep: norm\.weight has the wrong shape: expected \[3\], got \[2\]/,
    ],
    ['groups', () => core.groupRmsNorm(random(2, 6), random(6), 4, 1e-6), /groups of 4 do not fill/],
    ['odd heads', () => core.rotaryEmbedding(random(1, 1, 1, 3), { theta: 1 }), /must be even/],
    [
      'heads',
      () => core.causalAttention(random(1, 2, 3, 4), random(1, 2, 2, 4), random(1, 2, 2, 4)),
      /3 query heads, 2 key\/value heads/,
    ],
    [
      'keys',
      () => core.causalAttention(random(1, 3, 1, 4), random(1, 2, 1, 4), random(1, 2, 1, 4)),
      /fewer keys than queries/,
    ],
    [
      'ids',
      () => core.embeddingLookup(random(3, 2), tf.tensor1d([1])),
      /ids has the wrong dtype: expected int32, got float32/,
    ],
    [
      'targets',
      () => core.linearCrossEntropy(random(3, 2), random(4, 2), tf.tensor1d([1], 'int32')),
      /targets has the wrong shape: expected \[3\]/,
    ],
  ])('of %s are refused with op, expected and got', async (_name, call, message) => {
    await useTestBackend('cpu');
    expect(call).toThrow(ShapeError);
    expect(call).toThrow(message);
  });
});

describe('a vocabulary of one word', () => {
  it('has cross-entropy 0, and gradients of 0', async () => {
    await useTestBackend('cpu');
    const loss = (h: tf.Tensor, w: tf.Tensor) => core.meanCrossEntropy(h, w, tf.tensor1d([0, 0], 'int32'));
    const { value, grads } = tf.valueAndGrads(loss)([random(2, 3), random(1, 3)]);
    expect([value, ...grads].flatMap((each) => [...each.dataSync()].map(Math.abs))).toEqual(new Array(10).fill(0));
  });
});
