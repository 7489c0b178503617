/**
 * What virtual width costs a training step as r = n/m grows, in time and in memory, and what a second thread gains.
 *
 *   node bench/scaling.mjs --m 4 --r 1,2,4,8,16 --precision fp32
 *
 *   --m M               segments of the backbone; n = r·m; default 4
 *   --r LIST            factors; default 1,2,4,8,16
 *   --backend NAME      default vwn-cpu
 *   --rounds N          each configuration runs once a round, in a process of its own; default 3
 *   --machine NAME      folder under bench/results/; default: from the processor's name
 *   --out FILE          result file; default bench/results/MACHINE/DATE-scaling-PRECISION.json
 *   --precision --hidden --layers --heads --ffn --vocab --seq --batch --warmup --steps --threads
 *                       as for train-step.mjs; one precision
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { helpOf, requirePrecisions, sharedFlags, sizesOf, wholeNumber } from './support/flags.mjs';
import { describeCommit, describeMachine, machineName } from './support/machine.mjs';
import { alignedTable, quartiles, round } from './support/statistics.mjs';

const bench = dirname(fileURLToPath(import.meta.url));
const { mn: _mn, ...flags } = sharedFlags;
const options = {
  ...flags,
  threads: { type: 'string', default: '2' },
  m: { type: 'string', default: '4' },
  r: { type: 'string', default: '1,2,4,8,16' },
  backend: { type: 'string', default: 'vwn-cpu' },
  rounds: { type: 'string', default: '3' },
  machine: { type: 'string' },
  out: { type: 'string' },
};

try {
  main();
} catch (error) {
  console.error(process.env.DEBUG ? error : error.message);
  process.exitCode = 1;
}

function main() {
  const { values } = parseArgs({ options });
  if (values.help) return console.log(helpOf(readFileSync(new URL(import.meta.url), 'utf8')));
  const plan = planOf(values);
  const configurations = configurationsOf(plan);
  for (let turn = 1; turn <= plan.rounds; turn++)
    // Every second round runs backwards, so that warmth and drift of the machine favour nobody.
    for (const each of turn % 2 ? configurations : [...configurations].reverse()) {
      const line = run(each, plan);
      each.lines.push(line);
      console.error(`round ${turn}/${plan.rounds}  ${each.title}: ${line.step_ms} ms`);
    }
  const results = summarise(configurations, plan);
  const facts = { date: plan.date, commit: describeCommit(join(bench, '..')), machine: describeMachine() };
  mkdirSync(dirname(plan.out), { recursive: true });
  writeFileSync(plan.out, `${JSON.stringify({ ...facts, settings: settingsOf(plan), ...results }, null, 1)}\n`);
  console.log(`${text(results)}\n\nwritten to ${relative(process.cwd(), plan.out)}`);
}

function planOf(values) {
  const [precision] = requirePrecisions(values.precision);
  const date = new Date().toISOString().slice(0, 10);
  const folder = join(bench, 'results', values.machine ?? machineName());
  return {
    precision,
    date,
    sizes: sizesOf(values),
    m: wholeNumber(values.m, 'm'),
    factors: values.r.split(',').map((each) => wholeNumber(each, 'r')),
    backend: values.backend,
    threads: wholeNumber(values.threads, 'threads'),
    rounds: wholeNumber(values.rounds, 'rounds'),
    out: values.out ? resolve(values.out) : join(folder, `${date}-scaling-${precision}.json`),
  };
}

function settingsOf({ sizes, m, backend, precision, threads, rounds }) {
  return { ...sizes, m, backend, precision, threads, rounds };
}

/** The plain model on one thread and on all, then every factor on all. */
function configurationsOf({ m, factors, threads }) {
  const of = (title, mn, onThreads, r) => ({ title, mn, threads: onThreads, ...(r ? { r } : {}), lines: [] });
  return [
    of('plain, 1 thread', '0,0', 1),
    of('plain', '0,0', threads),
    ...factors.map((r) => of(`r=${r} (${m},${r * m})`, `${m},${r * m}`, threads, r)),
  ];
}

function run({ mn, threads }, { backend, precision, sizes }) {
  const args = Object.entries({ backend, precision, mn, threads, ...sizes }).flatMap(([k, v]) => [`--${k}`, `${v}`]);
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(bench, 'train-step.mjs'), ...args], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`train-step.mjs ${args.join(' ')} failed: ${stderr.trim().split('\n').at(-1)}`);
  return JSON.parse(stdout.split('\n').find((each) => each.startsWith('{')));
}

function summarise(configurations, plan) {
  const rows = configurations.map(({ title, r, lines }) => ({
    title,
    ...(r ? { r } : {}),
    step_ms: spread(lines.map((line) => line.step_ms)),
    high_water_bytes: lines[0].memory.numBytesHighWater,
    parameters: lines[0].parameters,
  }));
  const [one, plain, ...wide] = rows;
  for (const row of wide) {
    row.added_ms = round(row.step_ms.median - plain.step_ms.median);
    row.memory = memoryOf(row, plain, plan);
  }
  return {
    thread_speedup: round(one.step_ms.median / plain.step_ms.median, 3),
    exponent_of_step: exponent(wide, (row) => row.step_ms.median),
    exponent_of_added: exponent(wide, (row) => row.added_ms),
    rows,
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

function spread(values) {
  const { min, median, max } = quartiles(values);
  return { min: round(min), median: round(median), max: round(max) };
}

/** p of value ∝ r^p, by least squares of the logarithms. */
function exponent(rows, valueOf) {
  const points = rows.map((row) => [Math.log(row.r), Math.log(valueOf(row))]);
  const mean = (i) => points.reduce((sum, each) => sum + each[i], 0) / points.length;
  const [x, y] = [mean(0), mean(1)];
  const covariance = points.reduce((sum, [a, b]) => sum + (a - x) * (b - y), 0);
  return round(covariance / points.reduce((sum, [a]) => sum + (a - x) ** 2, 0), 3);
}

function text({ rows, thread_speedup, exponent_of_step, exponent_of_added }) {
  const mib = (bytes) => (bytes === undefined ? '' : (bytes / 2 ** 20).toFixed(0));
  const cells = rows.map(({ title, step_ms, added_ms = '', high_water_bytes, memory }) => [
    title,
    step_ms.median,
    `${step_ms.min}–${step_ms.max}`,
    added_ms,
    mib(high_water_bytes),
    mib(memory?.added_bytes),
    mib(memory?.formula_bytes),
    memory?.total_to_formula ?? '',
  ]);
  const header = ['', 'step ms', 'range', 'added ms', 'high water MiB', 'added MiB', 'formula MiB', 'total/formula'];
  return [
    alignedTable(header, cells),
    '',
    `All threads against one, plain: ${thread_speedup} times as fast.`,
    `Step time grows as r^${exponent_of_step}, what virtual width adds to it as r^${exponent_of_added}.`,
  ].join('\n');
}
