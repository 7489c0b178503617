import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseTrainConfig, readMetrics } from '../../src/index';

/** No system gives a process such a number. */
export const noProcess = 2 ** 30;

export const folder = mkdtempSync(join(tmpdir(), 'vwn-trainer-test-'));
/** Some tokens a sentence, 200 sentences. */
export const text = join(folder, 'text.txt');
writeFileSync(
  text,
  Array.from({ length: 200 }, (_, i) => `The ${['cat', 'dog', 'owl'][i % 3]} counted ${i} stars. `).join(''),
);

let runs = 0;
export const newRun = () => join(folder, `run-${runs++}`);

/** A configuration that trains in a moment. */
export function config(...overrides: string[]) {
  return parseTrainConfig(
    {
      model: {
        vocab_size: 300,
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        virtual_width: { m: 2, n: 4 },
      },
      data: { corpus: [text], tokenizer: { vocab_size: 300 }, holdout: 0.1 },
      train: { batch_size: 4, sequence_length: 16, max_steps: 12, learning_rate: 0.01, eval_steps: 6, save_steps: 4 },
    },
    { overrides },
  );
}

export async function losses(dir: string): Promise<number[]> {
  return (await readMetrics(join(dir, 'metrics.jsonl'))).map(({ loss }) => loss);
}
