import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseModelConfig } from '@vwn/core';
import { LanguageModel } from '@vwn/layers';
import { loadCheckpoint, saveCheckpoint } from '@vwn/layers/checkpoint';

await tf.setBackend('cpu');
const backbone = {
  vocab_size: 11,
  hidden_size: 8,
  intermediate_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 2,
};
const model = new LanguageModel(parseModelConfig({ ...backbone, virtual_width: { m: 2, n: 4 } }), { seed: 1 });
const ids = tf.tensor2d([[1, 2, 3]], [1, 3], 'int32');
const dir = join(mkdtempSync(join(tmpdir(), 'vwn-')), 'checkpoint');
await saveCheckpoint(dir, model);
const again = await loadCheckpoint(dir);
assert.deepEqual(again.logits(ids).arraySync(), model.logits(ids).arraySync());
