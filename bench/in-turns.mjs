/**
 * Times training steps of ours against each other in turns: of several checkouts, virtual widths or numbers of threads.
 *
 *   node bench/in-turns.mjs --mn 0,0 --mn 2,3 --mn 8,64 --precision bf16
 *   node bench/in-turns.mjs --checkout ../before --checkout . --mn 4,16
 *   node bench/in-turns.mjs --threads 1 --threads 2 --mn 0,0
 *
 *   --checkout DIR      whose built packages to take; may be repeated; default this one
 *   --addon FILE        a build of the native addon to take in this checkout, as `--checkout`; may be repeated
 *   --backend NAME      default vwn-cpu
 *   --threads N         may be repeated; default 2
 *   --rounds N          times that all processes are started again; default 2
 *   --turns N           a round's turns of each contender; default 6
 *   --steps N           counted steps a turn, after one that is not counted; default 3
 *   --out FILE          also writes a result file
 *   --precision --mn --hidden --layers --heads --ffn --vocab --seq --batch --mtp --warmup
 *                       as for train-step.mjs
 *
 * Ratios are to the first contender of the same precision: less than 1 is faster than it. Beside them the ratio of FLOPs.
 */
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ourCommand } from './support/contender.mjs';
import {
  parseWidths,
  requirePrecisions,
  sharedFlags,
  sizesOf,
  turnFlags,
  turnsOf,
  wholeNumber,
} from './support/flags.mjs';
import { describeCommit, describeMachine } from './support/machine.mjs';
import { importBuilt } from './support/packages.mjs';
import { runScript, today, writeResult } from './support/script.mjs';
import { alignedTable, round } from './support/statistics.mjs';
import { modelConfig } from './support/training-step.mjs';
import { meansOf, ratioOf, spreadOf, takeTurns } from './support/turns.mjs';

const here = join(dirname(fileURLToPath(import.meta.url)), '..');
const options = {
  ...sharedFlags,
  mn: { type: 'string', multiple: true, default: ['0,0'] },
  checkout: { type: 'string', multiple: true, default: [] },
  addon: { type: 'string', multiple: true, default: [] },
  backend: { type: 'string', default: 'vwn-cpu' },
  threads: { type: 'string', multiple: true, default: ['2'] },
  ...turnFlags,
  out: { type: 'string' },
};

await runScript(import.meta.url, options, main);

async function main(values) {
  const sizes = sizesOf(values);
  const plan = turnsOf(values, sizes);
  const core = await importBuilt('@vwn/core');
  const rows = [];
  for (const precision of requirePrecisions(values.precision)) {
    const entries = await takeTurns(contendersOf(values, sizes, precision), plan, console.error);
    if (entries[0].turns.length === 0) {
      console.error(`${precision}: nothing to compare with`);
      continue;
    }
    rows.push(...entries.map((entry) => rowOf(entry, entries[0], predictor(core, sizes, entries[0]))));
  }
  console.log(text(rows));
  if (values.out) writeResult(resolve(values.out), resultOf({ ...sizes, ...plan, backend: values.backend }, rows));
}

/** Every build on every number of threads at every width. */
function contendersOf(values, sizes, precision) {
  const { backend } = values;
  const checkouts = values.checkout.map((each) => ({ name: each, root: resolve(each) }));
  const addons = values.addon.map((each) => ({ name: each, addon: resolve(each) }));
  const builds = [...checkouts, ...addons];
  if (builds.length === 0) builds.push({ name: '' });
  const widths = values.mn.map(parseWidths);
  const threads = values.threads.map((each) => wholeNumber(each, 'threads'));
  return builds.flatMap(({ name, root, addon }) =>
    threads.flatMap((count) =>
      widths.map((width) => {
        const { command, args, env } = ourCommand({ backend, precision, width, sizes, threads: count, root });
        const title = `${precision} ${width.m},${width.n} ${count} threads ${name}`.trim();
        // Set in any case: what the shell has would be loaded into all of them alike.
        const own = { ...env, VWN_CPU_ADDON: addon ?? '' };
        return { title, width, root: root ?? here, command: { command, args, env: own } };
      }),
    ),
  );
}

/** What the FLOPs of a step say about its time, in times of the first contender's. */
function predictor(core, sizes, first) {
  const flops = (width) => {
    const report = core.cost(modelConfig(core, sizes, width), { sequenceLength: sizes.seq });
    return report.model.trainingFlops;
  };
  return (width) => flops(width) / flops(first.contender.width);
}

function rowOf({ contender, hello, last, turns, failure }, first, predict) {
  const { title, width, root } = contender;
  if (turns.length === 0) return { title, failure };
  return {
    title,
    commit: describeCommit(root),
    ...(failure ? { failure } : {}),
    ...hello,
    step_ms: spreadOf(turns),
    to_first: ratioOf(meansOf(turns), meansOf(first.turns)),
    flops_to_first: round(predict(width), 3),
    ...last,
  };
}

function text(rows) {
  const cells = rows.map(({ title, failure, step_ms: time, to_first: ratio, flops_to_first: flops }) =>
    failure
      ? [`${title}: ${failure}`, ...Array(6).fill('')]
      : [title, time.min, time.median, ratio.q1.toFixed(3), ratio.median.toFixed(3), ratio.q3.toFixed(3), flops],
  );
  return alignedTable(['', 'least ms', 'median', 'to the first: q1', 'median', 'q3', 'FLOPs to the first'], cells);
}

function resultOf(settings, rows) {
  return {
    question: 'How long does a training step take beside that of the first row, turn by turn?',
    date: today(),
    machine: describeMachine(),
    settings,
    rows,
  };
}
