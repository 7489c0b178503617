/**
 * Tokens a second of text generation with cached keys and values: every new token is one row through all layers, so that
 * what counts is how fast the parameters can be read.
 *
 *   node bench/generate.mjs --mn 0,0 --mn 8,64
 *   node bench/generate.mjs --hidden 768 --ffn 2048 --layers 12 --heads 12 --vocab 50304 --mn 0,0
 *
 *   --backend NAME      default: the first that works here
 *   --mn M,N            virtual width, 0,0 is the plain transformer; may be repeated; default 0,0 and 8,64
 *   --precision P       fp32 (default) or bf16; may be repeated
 *   --hidden --layers --heads --ffn --vocab --seq    sizes; default 256 6 4 704 4096 256
 *   --prompt --tokens   of a text, together at most --seq; default 16 and 64
 *   --texts N           counted texts of each model, in turns, after one that is not counted; default 7
 *   --threads N         for native backends; default: all cores
 *   --machine NAME      folder under bench/results/; default: from the processor's name
 *   --out FILE          result file; default bench/results/MACHINE/DATE-generate.json
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseWidths, requirePrecisions, sharedFlags, sizesOf, wholeNumber } from './support/flags.mjs';
import { describeCommit, describeMachine } from './support/machine.mjs';
import { usePrecision } from './support/packages.mjs';
import { resultFile, resultFlags, runScript, sayWritten, today, writeResult } from './support/script.mjs';
import { alignedTable, quartiles, round } from './support/statistics.mjs';
import { loadPackages, modelConfig } from './support/training-step.mjs';

const bench = dirname(fileURLToPath(import.meta.url));
const options = {
  ...sharedFlags,
  backend: { type: 'string' },
  prompt: { type: 'string', default: '16' },
  tokens: { type: 'string', default: '64' },
  texts: { type: 'string', default: '7' },
  ...resultFlags,
};

await runScript(import.meta.url, options, main);

async function main(values) {
  const sizes = sizesOf(values);
  const text = { prompt: wholeNumber(values.prompt, 'prompt', 1), tokens: wholeNumber(values.tokens, 'tokens', 1) };
  if (text.prompt + text.tokens > sizes.seq)
    throw new Error(`--seq: expected at least --prompt + --tokens = ${text.prompt + text.tokens}, got ${sizes.seq}`);
  const packages = await loadPackages(values.backend, values.threads && wholeNumber(values.threads, 'threads'));
  const models = requirePrecisions(values.precision).flatMap((precision) =>
    values.mn.map((mn) => modelOf(packages, sizes, parseWidths(mn), precision)),
  );
  for (let turn = 0; turn <= wholeNumber(values.texts, 'texts', 1); turn++)
    for (const each of models) {
      const ms = await timeText(packages, each, text);
      if (turn > 0) each.times.push(ms / text.tokens);
    }
  const rows = models.map(resultOf);
  const { layers, heads, hidden, ffn, vocab } = sizes;
  const settings = { hidden, layers, heads, ffn, vocab, ...text, backend: packages.details };
  const facts = { date: today(), commit: describeCommit(join(bench, '..')), machine: describeMachine(), settings };
  const out = resultFile(values, 'generate');
  writeResult(out, { ...facts, rows });
  console.log(tableOf(rows));
  sayWritten(out);
}

function modelOf({ core, LanguageModel }, sizes, width, precision) {
  const model = new LanguageModel(modelConfig(core, sizes, width), { seed: 0 });
  const parameters = model.trainableVariables().reduce((sum, [, { size }]) => sum + size, 0);
  return { ...width, precision, model, parameters, times: [] };
}

async function timeText({ core, generate }, { model, precision }, { prompt, tokens }) {
  usePrecision(core, precision);
  const rng = core.Rng.fromSeed(0);
  const ids = Array.from({ length: prompt }, () => rng.int(model.config.vocab_size));
  const text = generate(model, ids, { maxTokens: tokens, rng });
  const start = performance.now();
  while (!(await text.next()).done);
  return performance.now() - start;
}

/** With the time that the prompt takes, shared out among the tokens. */
function resultOf({ m, n, precision, parameters, times }) {
  const { min, q1, median, q3, max } = quartiles(times);
  const token_ms = { min: round(min), q1: round(q1), median: round(median), q3: round(q3), max: round(max) };
  return { m, n, precision, parameters, token_ms, tokens_per_s: round(1000 / median, 1) };
}

function tableOf(rows) {
  const header = ['m,n', 'precision', 'parameters', 'tokens/s', 'ms a token', 'quartiles'];
  const cells = rows.map(({ m, n, precision, parameters, tokens_per_s, token_ms }) => [
    `${m},${n}`,
    precision,
    parameters,
    tokens_per_s,
    token_ms.median,
    `${token_ms.q1}–${token_ms.q3}`,
  ]);
  return alignedTable(header, cells, [0, 1]);
}
