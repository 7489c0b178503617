/**
 * Times whole training steps of this checkout and of the PyTorch peer, in turns on one machine.
 *
 *   node bench/against-pytorch.mjs --peer torch_vwn.py --python venv/bin/python --mn 0,0 --mn 8,64
 *
 *   --peer FILE         the PyTorch model with its `bench` command
 *   --python FILE       a Python with torch; default python3
 *   --backend NAME      ours; may be repeated; default vwn-cpu; none: the peer alone
 *   --mode M            of the peer, eager or compile; may be repeated; default both
 *   --rounds N          each contender runs once a round, in a process of its own; default 3
 *   --target [M,N][:P]=R  the ratio wanted: 1.5, bf16=1.5, 8,64=2, 8,64:bf16=2; may be repeated
 *   --preload FILE      library to preload for the peer in place of the MKL unlock that is built here
 *   --no-preload        time the peer only as it is shipped
 *   --machine NAME      folder under bench/results/; default: from the processor's name
 *   --out FILE          result file; default bench/results/MACHINE/DATE-training-step.json
 *   --precision --mn --hidden --layers --heads --ffn --vocab --seq --batch --mtp --warmup --steps
 *                       as for train-step.mjs
 *   --threads N         for every contender; default 2
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { compare, comparisonText, parseTargets, summarise } from './support/comparison.mjs';
import { helpOf, parseWidths, requirePrecisions, sharedFlags, sizesOf, wholeNumber } from './support/flags.mjs';
import { describeCommit, describeMachine, load, machineName } from './support/machine.mjs';
import { buildUnlock, describeTorch, peerArguments } from './support/torch-peer.mjs';

const bench = dirname(fileURLToPath(import.meta.url));
const options = {
  ...sharedFlags,
  threads: { type: 'string', default: '2' },
  peer: { type: 'string' },
  python: { type: 'string', default: 'python3' },
  backend: { type: 'string', multiple: true, default: ['vwn-cpu'] },
  mode: { type: 'string', multiple: true, default: ['eager', 'compile'] },
  rounds: { type: 'string', default: '3' },
  target: { type: 'string', multiple: true, default: [] },
  preload: { type: 'string' },
  'no-preload': { type: 'boolean', default: false },
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
  const unlock = values['no-preload'] || values.preload ? undefined : buildUnlock();
  const preload = values['no-preload'] ? undefined : (values.preload && resolve(values.preload)) || unlock?.library;
  try {
    compareInRounds({ ...plan, preload, preloadName: values.preload ? 'preloaded' : 'MKL unlocked' });
  } finally {
    unlock?.remove();
  }
}

function planOf(values) {
  if (!values.peer) throw new Error('--peer: expected the path of the PyTorch peer; --help shows all flags');
  for (const mode of values.mode)
    if (mode !== 'eager' && mode !== 'compile') throw new Error(`--mode: expected eager or compile, got ${mode}`);
  const date = new Date().toISOString().slice(0, 10);
  const folder = join(bench, 'results', values.machine ?? machineName());
  return {
    peer: resolve(values.peer),
    python: values.python,
    torch: describeTorch(values.python),
    backends: values.backend.filter((name) => name !== 'none'),
    modes: values.mode,
    sizes: sizesOf(values),
    widths: values.mn.map(parseWidths),
    precisions: requirePrecisions(values.precision),
    threads: wholeNumber(values.threads, 'threads'),
    rounds: wholeNumber(values.rounds, 'rounds'),
    targetOf: parseTargets(values.target),
    date,
    out: values.out ? resolve(values.out) : join(folder, `${date}-training-step.json`),
  };
}

function compareInRounds(plan) {
  const facts = factsOf(plan);
  if (load() > 0.5) console.error(`the machine is busy (load ${load().toFixed(2)}): figures will suffer`);
  const samples = [];
  for (let round = 1; round <= plan.rounds; round++) {
    const turns = turnsOf(plan);
    // Every second round runs backwards, so that warmth and drift of the machine favour nobody.
    if (round % 2 === 0) turns.reverse();
    const failed = new Set(samples.filter(({ failure }) => failure).map(turnKey));
    for (const turn of turns.filter((each) => !failed.has(turnKey(each))))
      samples.push(take(turn, plan, `round ${round}/${plan.rounds}`));
    write(plan, facts, samples); // after every round: a long comparison may be cut short
  }
  const runs = summarise(inOrder(samples, turnsOf(plan)));
  console.log(comparisonText(runs, compare(runs, plan.targetOf)));
  console.log(`\nwritten to ${relative(process.cwd(), plan.out)}`);
}

/** Every contender in every configuration, once. */
function turnsOf({ widths, precisions, backends, modes, preload, preloadName }) {
  const peers = modes.flatMap((mode) => [
    { contender: `torch ${mode}, as shipped`, mode },
    ...(preload ? [{ contender: `torch ${mode}, ${preloadName}`, mode, preload }] : []),
  ]);
  const contenders = [...backends.map((backend) => ({ contender: backend, ours: true, backend })), ...peers];
  return widths.flatMap((width) =>
    precisions.flatMap((precision) =>
      contenders.map((contender) => ({ mn: `${width.m},${width.n}`, width, precision, ours: false, ...contender })),
    ),
  );
}

function turnKey({ mn, precision, contender }) {
  return `${mn} ${precision} ${contender}`;
}

function inOrder(samples, turns) {
  return turns.flatMap((turn) => samples.filter((sample) => turnKey(sample) === turnKey(turn)));
}

/** Runs one contender on one configuration in a process of its own. */
function take(turn, plan, label) {
  const { mn, precision, contender, ours } = turn;
  const [command, args, extra] = ours ? ourCommand(turn, plan) : peerCommand(turn, plan);
  const env = { ...process.env, ...extra };
  const result = spawnSync(command, args, { encoding: 'utf8', env, maxBuffer: 2 ** 26 });
  const text = (result.stdout ?? '').split('\n').find((each) => each.startsWith('{'));
  const line = result.status === 0 && text ? JSON.parse(text) : undefined;
  const failure = line ? undefined : failureOf(result);
  console.error(`${label}  ${mn} ${precision} ${contender}: ${line ? `${line.tokens_per_s} tokens/s` : failure}`);
  return { mn, precision, contender, ours, ...(line ? { line } : { failure }) };
}

/** The last line that it wrote, without this checkout's folder, which has no place in a result file. */
function failureOf({ error, stderr, signal }) {
  const last = (stderr ?? '').trim().split('\n').at(-1);
  const reason = error?.message ?? (last || `ended by ${signal}`);
  return `failed: ${reason.replaceAll(join(bench, '..'), '.')}`;
}

function ourCommand({ mn, precision, backend }, { sizes, threads }) {
  const flags = Object.entries({ backend, precision, mn, threads, ...sizes });
  const args = flags.flatMap(([name, value]) => [`--${name}`, String(value)]);
  return [process.execPath, [join(bench, 'train-step.mjs'), ...args], {}];
}

function peerCommand({ mode, precision, width, preload }, { python, peer, sizes, threads }) {
  const args = peerArguments(peer, { mode, precision, width, threads, sizes });
  return [python, args, { OMP_NUM_THREADS: String(threads), ...(preload ? { LD_PRELOAD: preload } : {}) }];
}

function factsOf({ date, torch, backends, sizes, threads, rounds, preload, preloadName }) {
  return {
    question: 'How many tokens a second does a whole training step process, against PyTorch on the same machine?',
    date,
    commit: describeCommit(join(bench, '..')),
    machine: describeMachine(),
    backend: backends.join(', '),
    peer: `${torch}; ${preload ? `as shipped and ${preloadName}` : 'as shipped'}`,
    settings: { ...sizes, threads },
    spread: `${rounds} rounds, contenders in turns, a process each; a round's figure is its median over the counted steps`,
  };
}

function write({ out, targetOf, ...plan }, facts, samples) {
  const runs = summarise(inOrder(samples, turnsOf(plan)));
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(out, `${JSON.stringify({ ...facts, ratios: compare(runs, targetOf), runs }, null, 1)}\n`);
}
