/**
 * What the unit tests on vwn-cpu leave open: golden vectors and products of any shape on every instruction set that this
 * machine has (unit tests run on the best one; the case table on all of them), and the case table under the address and
 * undefined-behaviour sanitizers, on every instruction set that has code of its own.
 */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const kernels = join(root, 'packages', 'kernels-cpu');
const onEverySet = [
  'packages/core/test/connection-golden.test.ts',
  'packages/layers/test/language-model-golden.test.ts',
  'packages/kernels-cpu/test/exact-products.test.ts',
];
// The first runs the case table, with rows of odd sizes, on every instruction set.
const sanitized = ['instruction-sets', 'bf16', 'misuse', 'values'].map(
  (name) => `packages/kernels-cpu/test/${name}.test.ts`,
);

const { instructionSets } = createRequire(import.meta.url)(join(kernels, 'build', 'vwn_cpu.node'));
for (const isa of instructionSets)
  test(`golden vectors and exact products on ${isa}`, onEverySet, { VWN_CPU_ISA: isa });
const sanitizer = sanitizerRuntime();
if (sanitizer === undefined)
  process.stdout.write('  NOT TESTED here: the sanitizers, which this machine’s compiler lacks (libasan)\n');
else checkSanitized(sanitizer);

function checkSanitized(runtime) {
  // avx512 is avx512bf16 without its products of pairs, so where both are, one of them does for both.
  const sets = instructionSets.filter((isa) => isa !== 'avx512' || !instructionSets.includes('avx512bf16'));
  const build = [join(kernels, 'scripts', 'build-native.mjs'), '--sanitize', '--sets', sets.join(',')];
  run('sanitized build', [process.execPath, build], {});
  const env = {
    LD_PRELOAD: runtime,
    // V8 never gives back what it holds at exit; what the kernels hold is counted by the tests of memory.
    ASAN_OPTIONS: 'detect_leaks=0:allocator_may_return_null=1',
    UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
    VWN_CPU_ADDON: join(kernels, 'build-sanitized', 'vwn_cpu.node'),
  };
  test(`sanitized case table on ${sets.join(', ')}; wrong calls; odd sizes`, sanitized, env);
}

/** The library that a sanitized addon needs in the process before Node itself; undefined where there is none. */
function sanitizerRuntime() {
  const { stdout } = spawnSync(process.env.CXX ?? 'g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' });
  const file = (stdout ?? '').trim();
  return process.platform === 'linux' && file.includes('/') && existsSync(file) ? file : undefined;
}

function test(title, files, env) {
  const vitest = [process.execPath, [join(root, 'node_modules', 'vitest', 'vitest.mjs'), 'run', ...files]];
  run(title, vitest, { VWN_TEST_BACKENDS: 'vwn-cpu', ...env });
}

function run(title, [command, args], env) {
  const started = performance.now();
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    env: { ...process.env, ...env },
  });
  if (status !== 0) {
    process.stderr.write(`${stdout}${stderr}\nfailed: ${title}\n`);
    process.exit(1);
  }
  process.stdout.write(`  ok  ${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s  ${title}\n`);
}
