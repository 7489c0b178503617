import { describeOnBackends } from '../../core/test/support/backends';
import { loadCheckpoint } from '@vwn/layers/checkpoint';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { scoreIds } from '../src/index';

/** Made by scripts/huggingface/check.mjs --write-fixtures: checkpoints and log-probabilities of transformers. */
const folder = new URL('./fixtures/huggingface/', import.meta.url).pathname;

describeOnBackends('Hugging Face checkpoints', () => {
  it.each(readdirSync(folder))('%s: every log-probability agrees with transformers to 1e-4', async (name) => {
    const read = (file: string) => JSON.parse(readFileSync(join(folder, name, file), 'utf8')) as number[][];
    const model = await loadCheckpoint(join(folder, name));
    const { logprobs } = await scoreIds(model, read('ids.json'));
    model.dispose();
    read('logprobs.json').forEach((row, i) => {
      expect(logprobs[i]).toHaveLength(row.length);
      row.forEach((value, t) => expect(Math.abs((logprobs[i]?.[t] as number) - value)).toBeLessThan(1e-4));
    });
  });
});
