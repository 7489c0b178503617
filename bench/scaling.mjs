/**
 * What virtual width costs a training step as r = n/m grows, in time and in memory, and what a second thread gains.
 *
 *   node bench/scaling.mjs --m 4 --r 1,2,4,8,16 --precision fp32
 *
 *   --m M               segments of the backbone; n = r·m; default 4
 *   --r LIST            factors; default 1,2,4,8,16
 *   --backend NAME      default vwn-cpu
 *   --rounds N          times that all processes are started again; default 2
 *   --turns N           a round's turns of each configuration, of --steps steps; default 6
 *   --steps N           counted steps a turn, after one that is not counted; default 3
 *   --machine NAME      folder under bench/results/; default: from the processor's name
 *   --out FILE          result file; default bench/results/MACHINE/DATE-scaling-PRECISION.json
 *   --precision --hidden --layers --heads --ffn --vocab --seq --batch --warmup --threads
 *                       as for train-step.mjs; one precision
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ourCommand } from './support/contender.mjs';
import { requirePrecisions, sharedFlags, sizesOf, turnFlags, turnsOf, wholeNumber } from './support/flags.mjs';
import { describeCommit, describeMachine } from './support/machine.mjs';
import { resultFile, resultFlags, runScript, sayWritten, today, writeResult } from './support/script.mjs';
import { alignedTable, round } from './support/statistics.mjs';
import { meansOf, ratioOf, spreadOf, takeTurns } from './support/turns.mjs';

const bench = dirname(fileURLToPath(import.meta.url));
const { mn: _mn, ...flags } = sharedFlags;
const options = {
  ...flags,
  threads: { type: 'string', default: '2' },
  m: { type: 'string', default: '4' },
  r: { type: 'string', default: '1,2,4,8,16' },
  backend: { type: 'string', default: 'vwn-cpu' },
  ...turnFlags,
  ...resultFlags,
};

await runScript(import.meta.url, options, main);

async function main(values) {
  const plan = planOf(values);
  const entries = await takeTurns(configurationsOf(plan), plan.turns, console.error);
  const needed = entries.slice(0, 2).find(({ failure }) => failure);
  if (needed) throw new Error(`${needed.contender.title}: ${needed.failure}`);
  const failed = entries
    .filter(({ failure }) => failure)
    .map(({ contender, failure }) => `${contender.title}: ${failure}`);
  const whole = entries.filter(({ failure }) => !failure);
  const results = { ...summarise(whole, plan), ...(failed.length > 0 ? { failed } : {}) };
  const facts = { date: today(), commit: describeCommit(join(bench, '..')), machine: describeMachine() };
  writeResult(plan.out, { ...facts, settings: settingsOf(plan), ...results });
  console.log(text(results));
  sayWritten(plan.out);
}

function planOf(values) {
  const [precision] = requirePrecisions(values.precision);
  const sizes = sizesOf(values);
  return {
    precision,
    sizes,
    m: wholeNumber(values.m, 'm'),
    factors: values.r.split(',').map((each) => wholeNumber(each, 'r')),
    backend: values.backend,
    threads: wholeNumber(values.threads, 'threads'),
    turns: turnsOf(values, sizes),
    out: resultFile(values, `scaling-${precision}`),
  };
}

function settingsOf({ sizes, m, backend, precision, threads, turns }) {
  return { ...sizes, m, backend, precision, threads, ...turns };
}

/** The plain model on one thread and on all, then every factor on all. */
function configurationsOf({ m, factors, threads, ...plan }) {
  const of = (title, width, onThreads, r) => ({
    title,
    ...(r ? { r } : {}),
    command: ourCommand({ ...plan, width, threads: onThreads }),
  });
  return [
    of('plain, 1 thread', { m: 0, n: 0 }, 1),
    of('plain', { m: 0, n: 0 }, threads),
    ...factors.map((r) => of(`r=${r} (${m},${r * m})`, { m, n: r * m }, threads, r)),
  ];
}

function summarise(entries, plan) {
  const [one, plain, ...wide] = entries.map(({ contender, hello, last, turns }) => ({
    title: contender.title,
    ...(contender.r ? { r: contender.r } : {}),
    step_ms: spreadOf(turns),
    turn_ms: meansOf(turns),
    high_water_bytes: last.memory.numBytesHighWater,
    parameters: hello.parameters,
  }));
  for (const row of wide) {
    row.to_plain = ratioOf(row.turn_ms, plain.turn_ms);
    row.added_ms = round((row.to_plain.median - 1) * plain.step_ms.median);
    row.memory = memoryOf(row, plain, plan);
  }
  return {
    thread_speedup: ratioOf(one.turn_ms, plain.turn_ms),
    exponent_of_step: exponent(wide, (row) => row.to_plain.median),
    exponent_of_added: exponent(wide, (row) => row.added_ms),
    rows: [one, plain, ...wide],
  };
}

/**
 * Against the formula of the paper (§3.5): virtual width adds η·4(n/m)D bytes a token a layer in 16 bits, with η = 1,
 * since every width connection's input is kept. Parameters with gradient and both moments are 16 bytes each.
 */
function memoryOf({ r, high_water_bytes, parameters }, plain, { sizes, precision }) {
  const tokens = sizes.batch * sizes.seq;
  const formula = 4 * r * sizes.hidden * tokens * sizes.layers * (precision === 'bf16' ? 1 : 2);
  const added = high_water_bytes - plain.high_water_bytes - 16 * (parameters - plain.parameters);
  const total = plain.high_water_bytes + 16 * (parameters - plain.parameters) + formula;
  return { added_bytes: added, formula_bytes: formula, total_to_formula: round(high_water_bytes / total, 3) };
}

/** p of value ∝ r^p, by least squares of the logarithms. */
function exponent(rows, valueOf) {
  const points = rows.map((row) => [Math.log(row.r), Math.log(valueOf(row))]);
  const mean = (i) => points.reduce((sum, each) => sum + each[i], 0) / points.length;
  const [x, y] = [mean(0), mean(1)];
  const covariance = points.reduce((sum, [a, b]) => sum + (a - x) * (b - y), 0);
  return round(covariance / points.reduce((sum, [a]) => sum + (a - x) ** 2, 0), 3);
}

function text({ rows, thread_speedup: speedup, exponent_of_step, exponent_of_added }) {
  const mib = (bytes) => (bytes === undefined ? '' : (bytes / 2 ** 20).toFixed(0));
  const cells = rows.map(({ title, step_ms, to_plain: ratio, added_ms = '', high_water_bytes, memory }) => [
    title,
    step_ms.median,
    ratio ? ratio.median.toFixed(3) : '',
    ratio ? `${ratio.q1.toFixed(3)}–${ratio.q3.toFixed(3)}` : '',
    added_ms,
    mib(high_water_bytes),
    mib(memory?.added_bytes),
    mib(memory?.formula_bytes),
    memory?.total_to_formula ?? '',
  ]);
  const header = [
    '',
    'step ms',
    'to plain',
    'quartiles',
    'added ms',
    'high water MiB',
    'added MiB',
    'formula MiB',
    'total/formula',
  ];
  return [
    alignedTable(header, cells),
    '',
    `All threads against one, plain: ${speedup.median} times as fast (quartiles ${speedup.q1}–${speedup.q3}).`,
    `Step time grows as r^${exponent_of_step}, what virtual width adds to it as r^${exponent_of_added}.`,
  ].join('\n');
}
