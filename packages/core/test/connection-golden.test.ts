import * as tf from '@tensorflow/tfjs-core';
import { readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import { depthConnection, widthConnection, type ConnectionParameters } from '../src/index';
import { goldenTolerance, maxRelativeError } from '../src/testing/index';
import { describeOnBackends } from './support/backends';
import { readFixture } from './support/safetensors';

const folder = new URL('./fixtures/golden/connection/', import.meta.url).pathname;

/** Checkpoint name of each connection parameter, in the order in which this test differentiates. */
const staticNames = ['static_alpha', 'static_beta'];
const dynamicNames = [
  'norm.weight',
  'dynamic_alpha_fn',
  'dynamic_beta_fn',
  'dynamic_alpha_scale',
  'dynamic_beta_scale',
];

function asParameters([staticAlpha, staticBeta, ...rest]: tf.Tensor[]): ConnectionParameters {
  const [normWeight, alphaFn, betaFn, alphaScale, betaScale] = rest;
  const base = { staticAlpha, staticBeta } as { staticAlpha: tf.Tensor; staticBeta: tf.Tensor };
  if (!normWeight || !alphaFn || !betaFn || !alphaScale || !betaScale) return base;
  return { ...base, dynamic: { normWeight, alphaFn, betaFn, alphaScale, betaScale } };
}

describeOnBackends('golden connections', () => {
  it.each(readdirSync(folder))('%s: outputs and every gradient are met', (file) => {
    const { tensors, metadata } = readFixture(folder + file);
    const get = (name: string) => {
      const { values, shape } = tensors.get(name) ?? { values: [], shape: [0] };
      return tf.tensor(values as Float32Array, shape);
    };
    const sizes = { m: Number(metadata.m), n: Number(metadata.n), eps: Number(metadata.rms_norm_eps) };
    const names = metadata.dynamic === 'true' ? [...staticNames, ...dynamicNames] : staticNames;
    const forward = (h: tf.Tensor, o: tf.Tensor, ...parameters: tf.Tensor[]) => {
      const { x, carry, beta } = widthConnection(h, asParameters(parameters), sizes);
      return { x, h_next: depthConnection(o, carry, beta, sizes) };
    };
    const inputs = [get('h'), get('o'), ...names.map((name) => get(`param.${name}`))];
    const outputs = forward(...(inputs as [tf.Tensor, tf.Tensor, ...tf.Tensor[]]));
    for (const name of ['x', 'h_next'] as const)
      expect(maxRelativeError(outputs[name].dataSync(), get(name).dataSync()), name).toBeLessThan(
        goldenTolerance.forward,
      );

    const objective = (...args: tf.Tensor[]) => {
      const { x, h_next } = forward(...(args as [tf.Tensor, tf.Tensor, ...tf.Tensor[]]));
      return tf.add(tf.sum(tf.mul(x, get('upstream.x'))), tf.sum(tf.mul(h_next, get('upstream.h_next')))) as tf.Scalar;
    };
    const grads = tf.grads(objective)(inputs);
    ['h', 'o', ...names].forEach((name, i) => {
      const error = maxRelativeError((grads[i] as tf.Tensor).dataSync(), get(`grad.${name}`).dataSync());
      expect(error, `gradient of ${name}`).toBeLessThan(goldenTolerance.gradient);
    });
  });
});
