/**
 * Everything that `npm test` runs, in the order in which a failure is cheapest to learn. Each step is a line in the
 * summary; the first failure stops the run with that step's own output.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const bin = (name) => join(root, 'node_modules', '.bin', name);
const node = process.execPath;

const timings = [];
run('types', [bin('tsc'), '--noEmit', '-p', 'tsconfig.json']);
run('lint', [bin('eslint'), '.']);
run('format', [bin('prettier'), '--check', '--log-level', 'warn', '.']);
run('house rules', [node, 'scripts/check-house.mjs']);
const env = backendEnvironment();
run(`unit tests (${env.VWN_TEST_BACKENDS})`, [bin('vitest'), 'run'], env);
if (env.VWN_TEST_BACKENDS.split(',').includes('vwn-cpu')) {
  run("TensorFlow.js's own suite on vwn-cpu", [node, 'packages/kernels/tfjs-suite/run.mjs', '--backend', 'vwn-cpu']);
  run('instruction sets and sanitizers', [node, 'scripts/check-native.mjs']);
  run('kernels for GPUs, on the host', [node, 'scripts/check-cuda.mjs']);
}
run('documentation code', [node, 'scripts/check-docs.mjs'], env);
for (const example of ['wrap-your-attention', 'compare-widths'])
  run(`example ${example}`, [node, `examples/${example}/main.mjs`]);
run('packed tarballs', [node, 'scripts/check-packages.mjs']);

process.stdout.write('\n');
for (const { title, seconds } of timings) process.stdout.write(`  ok  ${seconds.toFixed(1).padStart(7)} s  ${title}\n`);
process.stdout.write(`\n${timings.length} passed, 0 failed\n`);

/**
 * Which TensorFlow.js backends the tests must pass on. `cpu` and `wasm` always; `vwn-cpu` where there is a C++ compiler;
 * `tensorflow` where libtensorflow can be had, and its absence is a failure when VWN_TEST_BACKENDS names it.
 */
function backendEnvironment() {
  if (process.env.VWN_TEST_BACKENDS) return { VWN_TEST_BACKENDS: process.env.VWN_TEST_BACKENDS };
  const always = ['cpu', 'wasm'];
  if (existsSync(join(root, 'packages', 'kernels-cpu', 'build', 'vwn_cpu.node'))) always.push('vwn-cpu');
  else requireNoCompiler();
  process.stdout.write('\n> tensorflow backend\n');
  const result = spawnSync(node, ['scripts/install-tensorflow-backend.mjs'], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const module = result.stdout.trim().split('\n').at(-1);
  if (result.status === 0 && module) {
    process.stdout.write(`  testing on it too: ${module}\n`);
    return { VWN_TEST_BACKENDS: [...always, 'tensorflow'].join(','), VWN_TENSORFLOW_MODULE: module };
  }
  if (result.status !== 3) process.exit(result.status ?? 1);
  process.stdout.write('  NOT TESTED on the tensorflow backend here: libtensorflow cannot be had (reason above)\n');
  return { VWN_TEST_BACKENDS: always.join(',') };
}

/** Sources that a compiler refuses are a failure; having no compiler is not. */
function requireNoCompiler() {
  const reason = readFileSync(join(root, 'packages', 'kernels-cpu', 'build', 'not-built.txt'), 'utf8').trim();
  process.stdout.write(`  NOT TESTED on the vwn-cpu backend here. ${reason}\n`);
  if (!reason.includes('no C++ compiler')) process.exit(1);
}

function run(title, [command, ...args], extra = {}) {
  const started = performance.now();
  process.stdout.write(`\n> ${title}\n`);
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...extra },
  });
  if (result.status !== 0) {
    process.stderr.write(`\nfailed: ${title} (${[command, ...args].join(' ').replaceAll(`${root}/`, '')})\n`);
    process.stdout.write(`${timings.length} passed, 1 failed\n`);
    process.exit(1);
  }
  timings.push({ title, seconds: (performance.now() - started) / 1000 });
}
