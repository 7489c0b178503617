/**
 * Agreement with Hugging Face `transformers`, in both directions, in a Python environment of its own:
 *
 *     node scripts/huggingface/check.mjs [--python PYTHON] [--write-fixtures]
 *
 * 1. Random Llama and Mixtral checkpoints saved by transformers are scored by `vwn score`; every log-probability must
 *    agree to 1e-4. `--write-fixtures` keeps them in packages/eval/test/fixtures/huggingface for CI, which has no Python packages.
 * 2. A plain dense and a plain mixture-of-experts model trained here for a few steps must load in transformers without
 *    a missing or unexpected weight and give the same log-probabilities.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');
const tolerance = 1e-4;
const { values: flags } = parseArgs({ options: { python: { type: 'string' }, 'write-fixtures': { type: 'boolean' } } });

const python = flags.python ?? makeEnvironment();
const work = mkdtempSync(join(tmpdir(), 'vwn-huggingface-'));
let worst = 0;
try {
  const theirs = join(work, 'theirs');
  run(python, [join(here, 'make_fixtures.py'), theirs]);
  for (const name of readdirSync(theirs)) {
    const folder = join(theirs, name);
    compare(
      `${name}: transformers' checkpoint scored here`,
      readJson(join(folder, 'logprobs.json')),
      scoreHere(folder, join(folder, 'ids.json')),
    );
  }
  for (const experts of [0, 4]) checkOurs(experts);
  if (flags['write-fixtures'])
    cpSync(theirs, join(root, 'packages/eval/test/fixtures/huggingface'), { recursive: true });
} finally {
  rmSync(work, { recursive: true, force: true });
}
console.log(`largest difference of any log-probability: ${worst.toExponential(1)} (tolerance ${tolerance})`);

function checkOurs(experts) {
  const name = experts ? 'mixtral' : 'llama';
  const out = join(work, `ours-${name}`);
  const config = join(work, `${name}.json`);
  const model = {
    vocab_size: 300,
    hidden_size: 32,
    intermediate_size: 48,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
  };
  const settings = {
    model: experts ? { ...model, num_local_experts: experts } : model,
    data: { corpus: [join(root, 'README.md'), join(root, 'docs')], tokenizer: { vocab_size: 300 } },
    train: { batch_size: 4, sequence_length: 32, max_steps: 10, learning_rate: 0.01, eval_steps: 10, save_steps: 10 },
  };
  writeFileSync(config, JSON.stringify(settings));
  vwn('train', config, '--out', out);
  const checkpoint = join(out, 'checkpoint-10');
  const ids = join(work, 'ids.json');
  writeFileSync(
    ids,
    JSON.stringify([
      [5, 17, 200, 299, 3, 3, 8],
      [0, 1],
    ]),
  );
  const theirs = JSON.parse(run(python, [join(here, 'score.py'), checkpoint, ids]));
  compare(`${name}: trained here, loaded by transformers`, theirs, scoreHere(checkpoint, ids));
}

function compare(title, expected, actual) {
  let largest = 0;
  expected.forEach((row, i) =>
    row.forEach((value, t) => (largest = Math.max(largest, Math.abs(value - actual[i][t])))),
  );
  worst = Math.max(worst, largest);
  console.log(`${largest <= tolerance ? 'ok  ' : 'FAIL'} ${title}: ${largest.toExponential(1)}`);
  if (!(largest <= tolerance)) process.exitCode = 1;
}

function scoreHere(checkpoint, ids) {
  return JSON.parse(vwn('score', checkpoint, '--ids', ids, '--json')).logprobs;
}

function vwn(...args) {
  return run(process.execPath, [join(root, 'apps/cli/bin/vwn.js'), ...args]);
}

function makeEnvironment() {
  const folder = join(root, '.cache', 'huggingface-venv');
  const executable = join(folder, 'bin', 'python');
  if (!existsSync(executable)) {
    run('python3', ['-m', 'venv', folder]);
    run(executable, ['-m', 'pip', 'install', '-q', '-r', join(here, 'requirements.txt')]);
  }
  return executable;
}

function readJson(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}

function run(program, args) {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 2 ** 28 });
}
