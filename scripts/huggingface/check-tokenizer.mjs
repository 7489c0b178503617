/**
 * Agreement with Hugging Face's `tokenizers` on the whole bundled corpus (after `pnpm build`):
 *
 *     node scripts/huggingface/check-tokenizer.mjs [--python PYTHON] [--vocab-size N]
 *
 * 1. `trainBpe` and their BpeTrainer must make the same tokenizer.json.
 * 2. Both must give the same ids for every document, and the text back.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { readCorpus, Tokenizer, trainBpe } from '../../packages/text/dist/index.js';

const here = dirname(fileURLToPath(import.meta.url));
const { values: flags } = parseArgs({
  options: { python: { type: 'string', default: 'python3' }, 'vocab-size': { type: 'string', default: '4096' } },
});

const work = mkdtempSync(join(tmpdir(), 'vwn-tokenizer-'));
try {
  const texts = (await readCorpus('sotu')).map(({ text }) => text);
  const json = timed('trained here', () => trainBpe(texts, { vocabSize: Number(flags['vocab-size']) }));
  const tokenizer = Tokenizer.fromJson(json);
  const ids = timed('encoded here', () => texts.map((text) => tokenizer.encode(text)));
  const changed = texts.filter((text, i) => tokenizer.decode(ids[i]) !== text).length;
  console.log(
    `${changed === 0 ? 'ok  ' : 'FAIL'} ${texts.length - changed} of ${texts.length} documents decode to themselves`,
  );
  if (changed > 0) process.exitCode = 1;
  const write = (name, value) => writeFileSync(join(work, name), JSON.stringify(value));
  write('texts.json', texts);
  write('tokenizer.json', json);
  write('ids.json', ids);
  execFileSync(flags.python, [join(here, 'check_tokenizer.py'), work], { stdio: 'inherit' });
} finally {
  rmSync(work, { recursive: true, force: true });
}

function timed(title, action) {
  const started = performance.now();
  const result = action();
  console.log(`     ${title}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
  return result;
}
