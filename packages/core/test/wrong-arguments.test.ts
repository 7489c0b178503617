import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import * as core from '../src/index';
import { useTestBackend } from './support/backends';

const random = (...shape: number[]) =>
  tf.tensor(core.Rng.fromSeed('wrong').normals(shape.reduce((a, b) => a * b, 1)), shape);
const connection = (m: number, n: number) => ({
  staticAlpha: tf.tensor(core.staticAlpha(m, n), [n, m + n]),
  staticBeta: tf.tensor(core.staticBeta(m, n), [n, m]),
});
const read = (sizes: object, parameters: object = connection(2, 4)) =>
  core.connectionRead(random(1, 8), parameters as never, { m: 2, n: 4, eps: 1e-6, ...sizes });

beforeAll(() => useTestBackend('cpu'));

describe('wrong tensors and numbers', () => {
  const integers = (...shape: number[]) => tf.zeros(shape, 'int32');
  const [x, ids] = [() => random(2, 4), () => tf.tensor1d([0, 1], 'int32')];
  const crossEntropy = (chunkRows: number) => core.linearCrossEntropy(x(), random(3, 4), ids(), { chunkRows });
  const ignoring = (ignoreIndex: number) => core.linearCrossEntropy(x(), random(3, 4), ids(), { ignoreIndex });
  const meanIgnoring = (ignoreIndex: number) =>
    tf.grad((h) => core.meanCrossEntropy(h, random(3, 4), ids(), { ignoreIndex }))(x());
  const update = (grad: tf.Tensor, step: number) => {
    const [param, m, v] = [0, 1, 2].map(() => tf.variable(tf.zeros([2]))) as [tf.Variable, tf.Variable, tf.Variable];
    core.adamWAll([{ param, grad, m, v, weightDecay: 0, step }], { lr: 1, beta1: 0.9, beta2: 0.9, eps: 1e-8 });
  };

  it.each<[string, () => unknown, RegExp]>([
    ['a weight of integers', () => core.linear(x(), integers(3, 4)), /linear: weight has the wrong dtype/],
    ['one of several', () => core.linears(x(), [random(3, 4), integers(3, 4)]), /linears: weights\[1\] has the wrong/],
    ['a norm of integers', () => core.rmsNorm(x(), integers(4), 1e-6), /rmsNorm: weight has .*float32, got int32/],
    ['integers for up', () => core.swiGlu(x(), integers(2, 4)), /swiGlu: up has the wrong dtype/],
    ['a table of integers', () => core.embeddingLookup(integers(3, 2), ids()), /table has the wrong dtype/],
    [
      'keys of integers',
      () => core.causalAttention(random(1, 2, 2, 4), integers(1, 2, 2, 4), random(1, 2, 2, 4)),
      /: k/,
    ],
    [
      'what is left out',
      () => core.linear(x(), undefined as never),
      /linear: weight is not a tensor: expected float32/,
    ],
    ['no parameters', () => read({}, {}), /connectionRead: staticAlpha is not a tensor/],
    [
      'A of integers',
      () => read({}, { ...connection(2, 4), staticAlpha: integers(4, 6) }),
      /staticAlpha has the wrong/,
    ],
    [
      'a carry of integers',
      () => core.depthConnection(x(), integers(2, 8), random(4, 2), { m: 2, n: 4 }),
      /: carry has/,
    ],
    ['a gradient of another shape', () => update(tf.zeros([3]), 1), /adamWAll: grad has .*expected \[2\], got \[3\]/],
    ['a norm over integers', () => core.globalNorm([integers(2)]), /globalNorm: tensors\[0\] has the wrong dtype/],
  ])('are refused with a ShapeError that names them: %s', (_name, call, message) => {
    expect(call).toThrow(core.ShapeError);
    expect(call).toThrow(message);
  });

  it.each<[string, () => unknown, RegExp]>([
    [
      'chunks of no rows',
      () => crossEntropy(0),
      /chunkRows is not a positive whole number: expected at least 1, got 0/,
    ],
    ['chunks of half rows', () => crossEntropy(1.5), /chunkRows is not .* got 1.5/],
    ['a target of Infinity', () => ignoring(Infinity), /linearCrossEntropy: ignoreIndex cannot be a .*got Infinity/],
    ['a target of -Infinity', () => meanIgnoring(-Infinity), /meanCrossEntropy: ignoreIndex cannot.*got -Infinity/],
    ['a target of NaN', () => ignoring(NaN), /ignoreIndex .*got NaN.* Leave it out where no row is to be ignored/],
    ['half a target', () => ignoring(0.5), /ignoreIndex .* whole number from -2147483648 to 2147483647, got 0.5/],
    ['a target above int32', () => ignoring(2 ** 31), /ignoreIndex .*got 2147483648/],
    ['a target beyond 2^53', () => meanIgnoring(-(2 ** 60)), /ignoreIndex .*got -1152921504606847000/],
    ['no eps', () => core.rmsNorm(x(), random(4), undefined as never), /rmsNorm: eps cannot be added .*got undefined/],
    ['no number of segments', () => read({ m: NaN }), /connectionRead: m is not a positive whole number.* got NaN/],
    [
      'no segments',
      () => read({ m: 0 }),
      /connectionRead: m is not a positive whole number: expected at least 1, got 0/,
    ],
    ['slots below 0', () => read({ n: -4 }), /connectionRead: n is not a positive whole number.* got -4/],
    ['an eps below 0', () => read({ eps: -1 }), /connectionRead: eps cannot be added to a mean square.* got -1/],
    ['fewer slots than segments', () => core.staticAlpha(4, 2), /as many slots as segments .* got n = 2/],
    ['matrices of no size', () => core.staticBeta(NaN, 2), /m is not a positive whole number: .*got NaN/],
    ['no theta', () => core.rotaryEmbedding(random(1, 1, 1, 4), {} as never), /theta is not .*got undefined/],
    ['half a position', () => core.rotaryEmbedding(random(1, 1, 1, 4), { theta: 1, offset: 0.5 }), /offset .*got 0.5/],
    ['step 0', () => update(tf.ones([2]), 0), /step is not a positive whole number: expected at least 1, got 0/],
  ])('are refused with a ConfigError that names them: %s', (_name, call, message) => {
    expect(call).toThrow(core.ConfigError);
    expect(call).toThrow(message);
  });
});
