import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { cost, depthConnection, parseModelConfig, staticAlpha, staticBeta, widthConnection } from '@vwn/core';

await tf.setBackend('cpu');
const [m, n] = [2, 3];
const parameters = {
  staticAlpha: tf.tensor2d(staticAlpha(m, n), [n, m + n]),
  staticBeta: tf.tensor2d(staticBeta(m, n), [n, m]),
};
const h = tf.randomNormal([2, 5, 12]);
const { x, carry, beta } = widthConnection(h, parameters, { m, n, eps: 1e-6 });
assert.deepEqual(x.shape, [2, 5, 8]);
assert.deepEqual(depthConnection(x, carry, beta, { m, n }).shape, [2, 5, 12]);
assert.ok(
  cost(
    parseModelConfig({
      vocab_size: 64,
      hidden_size: 8,
      intermediate_size: 16,
      num_hidden_layers: 1,
      num_attention_heads: 2,
    }),
  ),
);
