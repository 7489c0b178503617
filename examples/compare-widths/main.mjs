/** The same backbone at three virtual widths, and the log-linear fit of §5 over them. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { selectBackend } from '@vwn/core';
import { logLinearFit } from '@vwn/eval';
import { parseTrainConfig, train } from '@vwn/trainer';

await selectBackend('wasm');
const steps = Number(process.env.STEPS ?? 8);
const backbone = {
  vocab_size: 512,
  hidden_size: 32,
  intermediate_size: 88,
  num_hidden_layers: 2,
  num_attention_heads: 2,
};
const folder = mkdtempSync(join(tmpdir(), 'vwn-widths-'));
const text = new URL('./README.md', import.meta.url).pathname;

const points = [];
for (const r of [1, 2, 4]) {
  const config = parseTrainConfig({
    model: { ...backbone, ...(r > 1 ? { virtual_width: { m: 4, n: 4 * r } } : {}) },
    data: { corpus: steps > 100 ? 'sotu' : [text], tokenizer: { vocab_size: steps > 100 ? 512 : 300 }, holdout: 0.3 },
    train: {
      batch_size: 2,
      sequence_length: 16,
      max_steps: steps,
      learning_rate: 3e-3,
      eval_steps: steps,
      save_steps: steps,
    },
  });
  const { evalLoss } = await train(config, { outDir: join(folder, `r${r}`) });
  points.push({ x: r, y: evalLoss });
  console.log(`r = ${r}: held-out loss ${evalLoss.toFixed(4)} after ${steps} steps`);
}
const { slope, intercept, r2 } = logLinearFit(points);
console.log(`loss = ${slope.toFixed(4)} * log2(r) + ${intercept.toFixed(4)}   (R2 = ${r2.toFixed(3)})`);
