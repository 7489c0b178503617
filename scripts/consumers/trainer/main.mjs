import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { parseTrainConfig, readMetrics, train } from '@vwn/trainer';

await tf.setBackend('cpu');
writeFileSync('text.txt', 'It was the best of times, it was the worst of times. '.repeat(100));
const config = parseTrainConfig({
  model: {
    vocab_size: 300,
    hidden_size: 8,
    intermediate_size: 16,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    virtual_width: { m: 2, n: 4 },
  },
  data: { corpus: ['text.txt'], tokenizer: { vocab_size: 300 }, holdout: 0.2 },
  train: { batch_size: 2, sequence_length: 8, max_steps: 3, eval_steps: 3 },
});
await train(config, { outDir: 'run' });
assert.equal((await readMetrics('run/metrics.jsonl')).length, 3);
