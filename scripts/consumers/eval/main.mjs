import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { parseModelConfig } from '@vwn/core';
import { logLinearFit, scoreIds, tokensToReachLoss } from '@vwn/eval';
import { LanguageModel } from '@vwn/layers';

await tf.setBackend('cpu');
const backbone = {
  vocab_size: 11,
  hidden_size: 8,
  intermediate_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 2,
};
const model = new LanguageModel(parseModelConfig(backbone), { seed: 1 });
const { logprobs, perplexity } = await scoreIds(model, [[1, 2, 3]]);
assert.equal(logprobs[0].length, 2);
assert.ok(perplexity > 1);
const curve = [1, 2, 3].map((tokens) => ({ tokens, loss: 4 - tokens }));
assert.equal(tokensToReachLoss(curve, 1.5), 2.5);
assert.equal(Math.round(logLinearFit([1, 2, 4].map((x) => ({ x, y: 5 - Math.log2(x) }))).slope), -1);
