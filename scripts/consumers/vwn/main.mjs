import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';

const vwn = (...args) => execFileSync('npx', ['vwn', ...args], { encoding: 'utf8' });
assert.match(vwn('--help'), /Virtual Width Networks/);
assert.ok(JSON.parse(vwn('doctor', '--json')).backends.some(({ name, available }) => name === 'wasm' && available));
writeFileSync(
  'tiny.yaml',
  `model: { vocab_size: 300, hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2, virtual_width: { m: 2, n: 4 } }
data: { corpus: [text.txt], tokenizer: { vocab_size: 300 } }
train: { batch_size: 2, sequence_length: 16, max_steps: 3, eval_steps: 3, save_steps: 3 }
`,
);
writeFileSync('text.txt', 'It was the best of times, it was the worst of times. '.repeat(200));
vwn('train', 'tiny.yaml', '--out', 'run');
assert.ok(JSON.parse(vwn('score', 'run', '--text', 'text.txt', '--json')).loss > 0);
assert.ok(vwn('generate', 'run', '--prompt', 'It was', '--max-tokens', '3').startsWith('It was'));
