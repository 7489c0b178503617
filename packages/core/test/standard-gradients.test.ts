import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { Rng } from '../src/index';
import { checkGradients, finiteDifferenceTolerance } from '../src/testing/index';
import { registerStandardGradients } from '../src/standard-gradients';
import { describeOnBackends } from './support/backends';

registerStandardGradients();
const positive = (rng: Rng, shape: number[]) =>
  tf.tensor(
    rng.normals(shape.reduce((a, b) => a * b, 1)).map((x) => Math.abs(x) + 0.5),
    shape,
  );

const binary: [string, (a: tf.Tensor, b: tf.Tensor) => tf.Tensor][] = [
  ['add', tf.add],
  ['sub', tf.sub],
  ['mul', tf.mul],
  ['div', tf.div],
];
const unary: [string, (x: tf.Tensor) => tf.Tensor][] = [
  ['neg', tf.neg],
  ['square', tf.square],
  ['sqrt', tf.sqrt],
  ['rsqrt', tf.rsqrt],
  ['exp', tf.exp],
  ['log', tf.log],
  ['tanh', tf.tanh],
  ['sigmoid', tf.sigmoid],
  ['relu', tf.relu],
  ['softmax', (x) => tf.softmax(x)],
  ['logSoftmax', (x) => tf.logSoftmax(x)],
  ['sum of an axis', (x) => tf.sum(x, 1)],
  ['sum of all, kept', (x) => tf.sum(x, undefined, true)],
  ['mean of a negative axis', (x) => tf.mean(x, -1)],
  ['reshape', (x) => tf.reshape(x, [-1])],
  ['transpose', (x) => tf.transpose(x, [2, 0, 1])],
  ['expandDims', (x) => tf.expandDims(x, 1)],
  ['slice', (x) => tf.slice(x, [0, 1, 0], [2, 1, 3])],
  ['slice from a number', (x) => tf.slice(x, 1)],
  ['slice from fewer numbers than axes', (x) => tf.slice(x, [0, 1], [2, 2])],
  ['cast', (x) => tf.cast(x, 'float32')],
  ['addN', (x) => tf.addN([x, x, x])],
];

describeOnBackends('gradients of standard ops', () => {
  it.each(binary)('%s, broadcast both ways, agrees with finite differences', (_name, op) => {
    const rng = Rng.fromSeed('binary');
    for (const [a, b] of [
      [
        [2, 3],
        [2, 3],
      ],
      [
        [2, 1, 3],
        [4, 1],
      ],
      [[3], [2, 3]],
    ] as number[][][]) {
      const inputs = { a: positive(rng, a as number[]), b: positive(rng, b as number[]) };
      const run = ({ a: x, b: y }: Record<string, tf.Tensor>) => [op(x as tf.Tensor, y as tf.Tensor)];
      for (const { error } of checkGradients({ run, differentiable: ['a', 'b'] }, inputs))
        expect(error).toBeLessThan(finiteDifferenceTolerance);
    }
  });

  it.each(unary)('%s agrees with finite differences', (_name, op) => {
    const inputs = { x: positive(Rng.fromSeed('unary'), [2, 4, 3]) };
    const run = ({ x }: Record<string, tf.Tensor>) => [op(x as tf.Tensor)];
    for (const { error } of checkGradients({ run, differentiable: ['x'] }, inputs))
      expect(error).toBeLessThan(finiteDifferenceTolerance);
  });

  it.each([
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ])('matMul with transposes %s and %s agrees with finite differences, also batched', (ta, tb) => {
    const rng = Rng.fromSeed('matmul');
    for (const batch of [[], [2]]) {
      const inputs = {
        a: positive(rng, [...batch, ...(ta ? [4, 3] : [3, 4])]),
        b: positive(rng, [...batch, ...(tb ? [5, 4] : [4, 5])]),
      };
      const run = ({ a, b }: Record<string, tf.Tensor>) => [tf.matMul(a as tf.Tensor, b as tf.Tensor, ta, tb)];
      for (const { error } of checkGradients({ run, differentiable: ['a', 'b'] }, inputs))
        expect(error).toBeLessThan(finiteDifferenceTolerance);
    }
  });

  it('concat gives each part its own slice', () => {
    const [a, b] = [tf.ones([2, 1]), tf.ones([2, 3])];
    const [da, db] = tf.grads((x, y) =>
      tf.sum(
        tf.mul(
          tf.concat([x as tf.Tensor2D, y as tf.Tensor2D], 1),
          tf.tensor2d([
            [1, 2, 3, 4],
            [5, 6, 7, 8],
          ]),
        ),
      ),
    )([a, b]);
    expect(Array.from((da as tf.Tensor).dataSync())).toEqual([1, 5]);
    expect(Array.from((db as tf.Tensor).dataSync())).toEqual([2, 3, 4, 6, 7, 8]);
  });
});
