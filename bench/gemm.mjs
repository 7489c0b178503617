/**
 * Matrix products of the shapes that training has, forward and both gradients, against OpenBLAS and oneDNN.
 *
 *   node bench/gemm.mjs --rounds 3
 *
 *   --rounds N     each contender runs once a round on each shape; default 3
 *   --seconds S    of a run; default 0.5
 *   --threads N    default 2
 *   --tokens N     rows of activations; default 2048
 *   --machine NAME folder under bench/results/; default: from the processor's name
 *   --out FILE     result file; default bench/results/MACHINE/DATE-gemm.json
 *
 * The peers are compiled here: they need g++ and their headers (Debian: libopenblas-dev, libdnnl-dev); one that cannot be
 * compiled, or has no bf16 for this processor, is left out, and the result says so. All of them are timed hot: the same
 * matrices again and again, as float32 results; ours rounds float32 weights to bf16 as it packs them, which the peers get
 * as bf16.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { wholeNumber } from './support/flags.mjs';
import { describeCommit, describeMachine } from './support/machine.mjs';
import { importBuilt } from './support/packages.mjs';
import { resultFile, resultFlags, runScript, sayWritten, today, writeResult } from './support/script.mjs';
import { alignedTable, quartiles, round } from './support/statistics.mjs';

const bench = dirname(fileURLToPath(import.meta.url));
const options = {
  rounds: { type: 'string', default: '3' },
  seconds: { type: 'string', default: '0.5' },
  threads: { type: 'string', default: '2' },
  tokens: { type: 'string', default: '2048' },
  ...resultFlags,
};

/** Weights of the model that `train-step.mjs` times: [out, in]. */
const weights = [
  [256, 256],
  [704, 256],
  [256, 704],
  [4096, 256],
];

/** M, N, K and which operands stand transposed, as `linear` and its gradient call for them. */
function shapesOf(tokens) {
  const training = weights.flatMap(([out, width]) => [
    { title: `${width} to ${out}, forward`, M: tokens, N: out, K: width, ta: 0, tb: 1 },
    { title: `${width} to ${out}, dx`, M: tokens, N: width, K: out, ta: 0, tb: 0 },
    { title: `${width} to ${out}, dW`, M: out, N: width, K: tokens, ta: 1, tb: 0 },
  ]);
  return [...training, { title: '1024³', M: 1024, N: 1024, K: 1024, ta: 0, tb: 0 }];
}

async function main(values) {
  const [rounds, threads] = [wholeNumber(values.rounds, 'rounds'), wholeNumber(values.threads, 'threads')];
  const folder = mkdtempSync(join(tmpdir(), 'vwn-gemm-'));
  try {
    const ours = await openOurs(threads);
    const { peers, missing } = buildPeers(folder, threads);
    const contenders = [
      { name: 'vwn-cpu', precision: 'fp32', run: ours.run },
      { name: 'vwn-cpu', precision: 'bf16', run: ours.run },
      ...peers,
    ];
    const shapes = shapesOf(wholeNumber(values.tokens, 'tokens'));
    const results = shapes.map((shape) => timeShape(shape, contenders, rounds, Number(values.seconds)));
    const facts = {
      date: today(),
      commit: describeCommit(join(bench, '..')),
      machine: describeMachine(),
      threads,
      rounds,
    };
    const out = resultFile(values, 'gemm');
    writeResult(out, { ...facts, peaks: ours.peaks, missing, results });
    console.log(`${text(results, ours.peaks)}\n${missing.map((each) => `not compared: ${each}\n`).join('')}`);
    sayWritten(out);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function openOurs(threads) {
  const [tf, { loadLibrary, measurePeaks }] = [
    await importBuilt('@tensorflow/tfjs-core'),
    await importBuilt('@vwn/kernels-cpu'),
  ];
  await tf.setBackend('vwn-cpu');
  loadLibrary().setThreads(threads);
  return { peaks: measurePeaks(1000), run: (shape, precision, seconds) => timeOurs(tf, shape, precision, seconds) };
}

/** Under bf16 the activations (A; and B of dW) are stored as bf16, weights are float32. */
function timeOurs(tf, { M, N, K, ta, tb }, precision, seconds) {
  const backend = tf.backend();
  const [a, b] = [tf.randomUniform([M, K], -0.5, 0.5), tf.randomUniform([K, N], -0.5, 0.5)];
  const halves = precision === 'bf16';
  const asBf16 = (x) => {
    const stored = backend.output(x.shape, 1);
    backend.call('convert', [x, stored], [x.size]);
    return stored;
  };
  const operands = halves ? [asBf16(a), ta ? asBf16(b) : b] : [a, b];
  const c = backend.output([M, N]);
  const run = () => backend.call('matmul', [...operands, c], [M, N, K, ta, tb, +halves, 1, 0, 0]);
  for (let i = 0; i < 3; i++) run();
  let best = 0;
  for (let part = 0; part < 10; part++) {
    const start = performance.now();
    let runs = 0;
    do {
      run();
      runs++;
    } while (performance.now() - start < 100 * seconds);
    best = Math.max(best, (2e-6 * M * N * K * runs) / (performance.now() - start));
  }
  for (const each of new Set([...operands, a, b, c])) backend.disposeData(each.dataId, true);
  return best;
}

function buildPeers(folder, threads) {
  const [peers, missing] = [[], []];
  for (const [name, define, library, precisions] of [
    ['OpenBLAS', '-DOPENBLAS', '-lopenblas', ['fp32']],
    ['oneDNN', '-DONEDNN', '-ldnnl', ['fp32', 'bf16']],
  ]) {
    const program = join(folder, name);
    const include = name === 'OpenBLAS' ? ['-I/usr/include/x86_64-linux-gnu/openblas-pthread'] : [];
    const args = ['-O2', '-std=c++20', define, ...include, join(bench, 'gemm-peer.cc'), '-o', program, library];
    const { status, stderr } = spawnSync('g++', args, { encoding: 'utf8' });
    if (status !== 0)
      missing.push(`${name} (${(stderr ?? '').split('\n').find((each) => /error/.test(each)) ?? 'no g++'})`);
    else
      for (const precision of precisions)
        if (offers(program, precision)) peers.push({ name, precision, run: peerRun(program, threads) });
        else missing.push(`${name} in ${precision} (it has no such product for this processor)`);
  }
  return { peers, missing };
}

/** Whether the library has products of this precision for this processor. */
function offers(program, precision) {
  return spawnSync(program, [precision, '0', '16', '16', '16', '0', '0']).status !== 3;
}

function peerRun(program, threads) {
  return ({ M, N, K, ta, tb }, precision, seconds) => {
    const env = { ...process.env, OMP_NUM_THREADS: `${threads}`, OPENBLAS_NUM_THREADS: `${threads}` };
    const args = [precision, seconds, M, N, K, ta, tb].map(String);
    const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', env });
    if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed: ${stderr}`);
    return Number(stdout);
  };
}

function timeShape(shape, contenders, rounds, seconds) {
  const samples = contenders.map(() => []);
  for (let turn = 0; turn < rounds; turn++)
    for (const [i, { run, precision }] of contenders.entries()) samples[i].push(run(shape, precision, seconds));
  const rates = contenders.map(({ name, precision }, i) => {
    const { min, median, max } = quartiles(samples[i]);
    return { name, precision, gflops_per_s: { min: round(min, 1), median: round(median, 1), max: round(max, 1) } };
  });
  console.error(
    `${shape.title}: ${rates.map((each) => `${each.name} ${each.precision} ${each.gflops_per_s.median}`).join(', ')}`,
  );
  return { ...shape, rates, ratios: ratiosOf(rates) };
}

/** Ours against the better of the peers. */
function ratiosOf(rates) {
  return Object.fromEntries(
    ['fp32', 'bf16'].flatMap((precision) => {
      const of = rates.filter((each) => each.precision === precision);
      const [mine, others] = [of.find(({ name }) => name === 'vwn-cpu'), of.filter(({ name }) => name !== 'vwn-cpu')];
      const best = Math.max(...others.map((each) => each.gflops_per_s.median));
      return others.length ? [[precision, round(mine.gflops_per_s.median / best, 3)]] : [];
    }),
  );
}

function text(results, { fp32GflopsPerSecond, bf16GflopsPerSecond }) {
  const [{ rates }] = results;
  const header = ['GFLOP/s', ...rates.map(({ name, precision }) => `${name} ${precision}`), 'fp32 x', 'bf16 x'];
  const rows = results.map(({ title, rates: each, ratios }) => [
    title,
    ...each.map(({ gflops_per_s: { median } }) => median),
    ratios.fp32 ?? '',
    ratios.bf16 ?? '',
  ]);
  const peak = `Measured peak: ${round(fp32GflopsPerSecond, 0)} GFLOP/s fp32, ${round(bf16GflopsPerSecond ?? 0, 0)} bf16.`;
  return `${alignedTable(header, rows)}\n\n${peak}`;
}

await runScript(import.meta.url, options, main);
