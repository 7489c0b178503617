/** Tensors of no elements, and more tensors than a call takes. */
import * as tf from '@tensorflow/tfjs-core';
import { causalAttention, groupedLinear, rmsNorm, setPrecision } from '@vwn/core';
import { expect, it } from 'vitest';
import { describeNative } from './support/native';

describeNative('nothing', () => {
  it('has a sum of 0 and a mean of NaN, over all of it or along an axis', () => {
    const x = tf.zeros([0, 3]);
    expect([...tf.sum(x, 0).dataSync()]).toEqual([0, 0, 0]);
    expect([...tf.mean(x).dataSync()]).toEqual([NaN]);
    expect([...tf.mean(x, 0).dataSync()]).toEqual([NaN, NaN, NaN]);
    expect(tf.mean(x, 1, true).shape).toEqual([0, 1]);
    expect([...tf.mean(tf.zeros([2, 0, 2]), [0, 2]).dataSync()]).toEqual([]);
    expect([...tf.mean(tf.zeros([0, 2, 3]), [0, 2]).dataSync()]).toEqual([NaN, NaN]);
  });

  it.each(['int32', 'bool'] as const)('of %s has a mean of NaN, and no memory is lost on it', (dtype) => {
    const x = tf.zeros([3, 0], dtype);
    const before = tf.memory().numDataBuffers;
    const mean = tf.mean(x, 1);
    expect([mean.dtype, ...mean.dataSync()]).toEqual(['float32', NaN, NaN, NaN]);
    mean.dispose();
    expect(tf.memory().numDataBuffers).toBe(before);
  });

  it('comes out of attention whose heads have no columns, and so do its gradients', () => {
    const inputs = [tf.zeros([1, 2, 4, 0]), tf.zeros([1, 3, 2, 0]), tf.zeros([1, 3, 2, 0])] as const;
    expect(causalAttention(...inputs).shape).toEqual([1, 2, 4, 0]);
    const grads = tf.grads((q, k, v) => causalAttention(q as tf.Tensor, k as tf.Tensor, v as tf.Tensor))([...inputs]);
    expect(grads.map(({ shape }) => shape)).toEqual(inputs.map(({ shape }) => shape));
  });

  it('is what a norm of rows without numbers gives in bf16 too, and so are its gradients', () => {
    setPrecision('bf16');
    try {
      const inputs = [tf.zeros([3, 0]), tf.zeros([0])] as const;
      expect(rmsNorm(...inputs, 1e-6).shape).toEqual([3, 0]);
      const grads = tf.grads((x, weight) => rmsNorm(x as tf.Tensor, weight as tf.Tensor, 1e-6))([...inputs]);
      expect(grads.map(({ shape }) => shape)).toEqual([[3, 0], [0]]);
    } finally {
      setPrecision('fp32');
    }
  });
});

describeNative('more groups than a call takes', () => {
  it('are refused with how many operands there may be, and what to do', () => {
    const groups = 22_000;
    const weight = tf.ones([1, 1]);
    const offsets = tf.zeros([groups + 1], 'int32');
    const call = () => groupedLinear(tf.zeros([0, 1]), new Array<tf.Tensor>(groups).fill(weight), offsets);
    expect(call).toThrow(
      'grouped_linear: 22003 operands are more than a call takes: expected at most 21842, got 22003',
    );
    expect(call).toThrow('Give it fewer tensors at once');
  });
});
