/**
 * Times whole training steps of this checkout and of the PyTorch peer, in turns on one machine.
 *
 *   node bench/against-pytorch.mjs --peer torch_vwn.py --python venv/bin/python --mn 0,0 --mn 8,64
 *
 *   --peer FILE         the PyTorch model: brings Config, VwnForCausalLM and decay_groups
 *   --python FILE       a Python with torch; default python3
 *   --backend NAME      ours; may be repeated; default vwn-cpu; none: the peer alone
 *   --mode M            of the peer, eager or compile; may be repeated; default both
 *   --rounds N          times that all processes are started again; default 2
 *   --turns N           a round's turns of each contender, of --steps steps; default 6
 *   --target [M,N][:P]=R  the ratio wanted: 1.5, bf16=1.5, 8,64=2, 8,64:bf16=2; may be repeated
 *   --preload FILE      library to preload for the peer in place of the MKL unlock that is built here
 *   --no-preload        time the peer only as it is shipped
 *   --machine NAME      folder under bench/results/; default: from the processor's name
 *   --out FILE          result file; default bench/results/MACHINE/DATE-training-step.json
 *   --steps N           counted steps a turn, after one that is not counted; default 3
 *   --precision --mn --hidden --layers --heads --ffn --vocab --seq --batch --mtp --warmup
 *                       as for train-step.mjs
 *   --threads N         for every contender; default 2
 */
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compare, comparisonText, parseTargets, runOf } from './support/comparison.mjs';
import { ourCommand, torchCommand } from './support/contender.mjs';
import {
  parseWidths,
  requirePrecisions,
  sharedFlags,
  sizesOf,
  turnFlags,
  turnsOf,
  wholeNumber,
} from './support/flags.mjs';
import { describeCommit, describeMachine, load } from './support/machine.mjs';
import { resultFile, resultFlags, runScript, sayWritten, today, writeResult } from './support/script.mjs';
import { buildUnlock, describeTorch } from './support/torch-peer.mjs';
import { takeTurns } from './support/turns.mjs';

const bench = dirname(fileURLToPath(import.meta.url));
const options = {
  ...sharedFlags,
  threads: { type: 'string', default: '2' },
  peer: { type: 'string' },
  python: { type: 'string', default: 'python3' },
  backend: { type: 'string', multiple: true, default: ['vwn-cpu'] },
  mode: { type: 'string', multiple: true, default: ['eager', 'compile'] },
  ...turnFlags,
  target: { type: 'string', multiple: true, default: [] },
  preload: { type: 'string' },
  'no-preload': { type: 'boolean', default: false },
  ...resultFlags,
};

await runScript(import.meta.url, options, main);

async function main(values) {
  const plan = planOf(values);
  const unlock = values['no-preload'] || values.preload ? undefined : buildUnlock();
  const preload = values['no-preload'] ? undefined : (values.preload && resolve(values.preload)) || unlock?.library;
  try {
    await compareAll({ ...plan, preload, preloadName: values.preload ? 'preloaded' : 'MKL unlocked' });
  } finally {
    unlock?.remove();
  }
}

function planOf(values) {
  if (!values.peer) throw new Error('--peer: expected the path of the PyTorch peer; --help shows all flags');
  for (const mode of values.mode)
    if (mode !== 'eager' && mode !== 'compile') throw new Error(`--mode: expected eager or compile, got ${mode}`);
  const sizes = sizesOf(values);
  return {
    peer: resolve(values.peer),
    python: values.python,
    torch: describeTorch(values.python),
    backends: values.backend.filter((name) => name !== 'none'),
    modes: values.mode,
    sizes,
    widths: values.mn.map(parseWidths),
    precisions: requirePrecisions(values.precision),
    threads: wholeNumber(values.threads, 'threads'),
    turns: turnsOf(values, sizes),
    targetOf: parseTargets(values.target),
    out: resultFile(values, 'training-step'),
  };
}

async function compareAll(plan) {
  const facts = factsOf(plan);
  if (load() > 0.5) console.error(`the machine is busy (load ${load().toFixed(2)}): figures will suffer`);
  const runs = [];
  for (const configuration of configurationsOf(plan)) {
    const contenders = contendersOf(configuration, plan);
    const say = (line) => console.error(`${configuration.mn} ${configuration.precision}  ${line}`);
    const entries = await takeTurns(contenders, plan.turns, say);
    runs.push(...entries.map((entry) => runOf(entry, configuration, plan.sizes)));
    // After each: a long comparison may be cut short.
    writeResult(plan.out, { ...facts, ratios: compare(runs, plan.targetOf), runs });
  }
  console.log(comparisonText(runs, compare(runs, plan.targetOf)));
  sayWritten(plan.out);
}

function configurationsOf({ widths, precisions }) {
  return widths.flatMap((width) => precisions.map((precision) => ({ mn: `${width.m},${width.n}`, width, precision })));
}

function contendersOf({ width, precision }, { backends, modes, preload, preloadName, ...plan }) {
  const common = { ...plan, width, precision };
  const ours = backends.map((backend) => ({
    title: backend,
    ours: true,
    command: ourCommand({ ...common, backend }),
  }));
  const peers = modes.flatMap((mode) => [
    { title: `torch ${mode}, as shipped`, command: torchCommand({ ...common, mode }) },
    ...(preload
      ? [{ title: `torch ${mode}, ${preloadName}`, command: torchCommand({ ...common, mode, preload }) }]
      : []),
  ]);
  return [...ours, ...peers];
}

function factsOf({ torch, backends, sizes, threads, turns: { rounds, turns, steps }, preload, preloadName }) {
  return {
    question: 'How many tokens a second does a whole training step process, against PyTorch on the same machine?',
    date: today(),
    commit: describeCommit(join(bench, '..')),
    machine: describeMachine(),
    backend: backends.join(', '),
    peer: `${torch}; ${preload ? `as shipped and ${preloadName}` : 'as shipped'}`,
    settings: { ...sizes, threads },
    spread: `${rounds} rounds of ${turns} turns of ${steps} steps; times are quartiles of all steps, ratios of turns`,
  };
}
