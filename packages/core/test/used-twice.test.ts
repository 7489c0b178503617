import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { usedTwice } from '../src/index';
import { describeOnBackends } from './support/backends';

describeOnBackends('tensors for two uses', () => {
  it('have the gradient of both, each its own', () => {
    const tensors = [tf.tensor1d([1, 2, 3]), tf.tensor2d([[4], [5]]), tf.scalar(6)];
    const gradients = tf.grads((...given) => {
      const [first, second] = usedTwice(given);
      const parts = first.map((x, i) => tf.sum(tf.add(tf.mul(x, i + 2), tf.square(second[i] as tf.Tensor))));
      return tf.addN(parts);
    })(tensors);
    expect(gradients.map((each) => [...each.dataSync()])).toEqual([[4, 6, 8], [11, 13], [16]]);
    expect(gradients.map(({ shape }) => shape)).toEqual(tensors.map(({ shape }) => shape));
  });

  it('have that of one use where the other leads to nothing', () => {
    const gradient = tf.grad((x) => tf.sum(tf.mul(usedTwice([x])[1][0] as tf.Tensor, 3)));
    expect([...gradient(tf.tensor1d([1, 2])).dataSync()]).toEqual([3, 3]);
  });

  it('have a second derivative', () => {
    const cube = (x: tf.Tensor) => {
      const [[first], [second]] = usedTwice([x]) as [[tf.Tensor], [tf.Tensor]];
      return tf.sum(tf.mul(tf.square(first), second));
    };
    const second = tf.grad((x) => tf.sum(tf.grad(cube)(x)));
    expect([...second(tf.tensor1d([1, 2])).dataSync()]).toEqual([6, 12]);
  });

  it('are themselves where no gradient is taken', () => {
    const tensors = [tf.scalar(1), tf.scalar(2)];
    expect(usedTwice(tensors)).toEqual([tensors, tensors]);
    expect(usedTwice(tensors)[0][1]).toBe(tensors[1]);
    expect(
      tf
        .grad((x) => tf.add(x, usedTwice([])[0].length))(tf.scalar(1))
        .dataSync()[0],
    ).toBe(1);
  });

  it('leave nothing behind', () => {
    const x = tf.tensor1d([1, 2]);
    const before = tf.memory().numTensors;
    const of = tf.grad((each) => tf.sum(tf.add(...(usedTwice([each]).flat() as [tf.Tensor, tf.Tensor]))));
    tf.dispose(tf.tidy(() => of(x)));
    expect(tf.memory().numTensors).toBe(before);
  });
});
