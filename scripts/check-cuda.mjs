/**
 * The kernels of vwn-cuda on a machine without a GPU: run on the host thread by thread, function by function against
 * vwn-cpu, and with every access to memory watched; the case table, golden vectors, captured steps and TensorFlow.js's own
 * suite; the loader against drivers that lack something; where nvcc is, what it compiles for GPUs, and the same functions and
 * golden vectors by its PTX; models with cuBLASLt; and the bundle that goes to a GPU.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { testsForGpus } from '../bench/gpu/tests.mjs';
import { findCompiler } from '../packages/kernels/scripts/native-build.mjs';
import { findNvcc } from '../packages/kernels-cuda/scripts/images.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const VWN_CUDA_ADDON = join(root, 'packages', 'kernels-cuda', 'build', 'emulated', 'vwn_cuda.node');
const vitest = 'node_modules/vitest/vitest.mjs';
const files = [
  'packages/kernels-cuda',
  'packages/core/test/op-cases.test.ts',
  'packages/core/test/connection-golden.test.ts',
  'packages/layers/test/language-model-golden.test.ts',
  'packages/core/test/kernel-capture.test.ts',
  'packages/core/test/used-twice.test.ts',
  'packages/layers/test/residual-stream.test.ts',
  'packages/trainer/test/captured-step.test.ts',
];
/** What runs functions one by one: all that a GPU runs too, but for whole steps. */
const ofFunctions = testsForGpus['kernels-cuda'].filter((name) => name !== 'training-step');

run(['packages/kernels-cuda/scripts/build-interpreted.mjs', '--driver'], {});
run([vitest, 'run', ...files], { VWN_TEST_BACKENDS: 'vwn-cuda' });
// As on Hopper, where tiles are larger and more shapes have them, and attention has warpgroups.
const connections = ['connection-step', 'connection-tiles', 'connection-warpgroups'];
const onHopper = testsOf(['attention', ...connections]);
run([vitest, 'run', ...onHopper], { VWN_TEST_BACKENDS: 'vwn-cuda', VWN_EMULATED_SHARED: '227' });
checkWatched();
checkPtx();
run(['packages/kernels/tfjs-suite/run.mjs', '--backend', 'vwn-cuda'], { VWN_CUDA_ADDON });
checkWithCublasLt();
checkBundle();

/** Every access of a kernel to memory, function by function: within what the call has, aligned, and no race between threads. */
function checkWatched() {
  if (findCompiler()?.isClang) return process.stdout.write('  NOT TESTED here: accesses to memory, which need GCC\n');
  run(['packages/kernels-cuda/scripts/build-native.mjs', '--watched'], {});
  const addon = join(root, 'packages', 'kernels-cuda', 'build', 'watched', 'vwn_cuda.node');
  const env = { VWN_TEST_BACKENDS: 'vwn-cuda', VWN_CUDA_ADDON: addon };
  // What is for warpgroups is slow without, and says nothing new.
  run([vitest, 'run', ...testsOf(ofFunctions.filter((name) => name !== 'connection-warpgroups'))], env);
  run([vitest, 'run', ...onHopper], { ...env, VWN_EMULATED_SHARED: '227' });
}

/**
 * What nvcc makes of the kernels, in PTX, as on H100 and as on other GPUs, through the library's own loader and launches; connections,
 * which kernels make by how much shared memory there is, also with that of A100.
 */
function checkPtx() {
  if (!findNvcc()) return process.stdout.write('  NOT TESTED here: PTX of the kernels, which needs nvcc\n');
  run(['packages/kernels-cuda/scripts/build-interpreted.mjs'], {});
  const build = join(root, 'packages', 'kernels-cuda', 'build', 'interpreted');
  const golden = ['packages/core/test/connection-golden.test.ts', 'packages/layers/test/language-model-golden.test.ts'];
  for (const [architecture, capability, tests] of [
    ['90a', '90', [...testsOf(ofFunctions), ...golden]],
    ['80', '86', testsOf(ofFunctions)],
    ['80', '80', testsOf(connections)],
  ])
    run([vitest, 'run', ...tests], {
      VWN_TEST_BACKENDS: 'vwn-cuda',
      VWN_CUDA_ADDON: join(build, `vwn_cuda-${architecture}.node`),
      VWN_CUDA_DRIVER: join(build, 'libcuda.so'),
      VWN_CUBLASLT: 'none',
      VWN_INTERPRETED_CAPABILITY: capability,
    });
}

/**
 * A strict cuBLASLt of our own in the place of the real one, under whole models. What has run above without it, and says nothing
 * new of products, is left out: finite differences, and how captured steps are kept.
 */
function checkWithCublasLt() {
  const names = '^(?!finite differences|captured steps on vwn-cuda (?!give))';
  const work = mkdtempSync(join(tmpdir(), 'vwn-cublaslt-'));
  const library = join(work, 'libcublasLt.so');
  const source = 'packages/kernels-cuda/test/support/fake-cublaslt.cc';
  try {
    spawn(process.env.CXX ?? 'g++', ['-std=c++20', '-O2', '-shared', '-fPIC', source, '-o', library], {});
    run([vitest, 'run', ...files.slice(1), '-t', names], { VWN_TEST_BACKENDS: 'vwn-cuda', VWN_CUBLASLT: library });
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** What would be carried to a machine with a GPU, there and then: everything but the GPU is as it would be. */
function checkBundle() {
  const work = mkdtempSync(join(tmpdir(), 'vwn-bundle-'));
  try {
    run(['bench/gpu/bundle.mjs', '--folder', join(work, 'vwn-gpu')], {});
    // Most of these tests have run above; here it is the bundle that is tested.
    const env = {
      VWN_CUDA_ADDON,
      TESTS: 'fill recording kernel-capture connection-golden',
      CHECK_FLAGS: '--steps 2',
      KERNELS_FLAGS: '--tiny --turns 1 --repeat 3',
      TRAINING_FLAGS: '--tiny --turns 1',
      BENCH_FLAGS: '--op rmsNorm --size small --repeat 1 --min-time 0.01',
    };
    spawn(join(work, 'vwn-gpu', 'run.sh'), [join(work, 'results')], env);
    for (const name of ['check', 'kernels', 'kernels-without-warpgroups', 'training', 'bench-fp32', 'bench-bf16'])
      JSON.parse(readFileSync(join(work, 'results', `${name}.json`)));
  } finally {
    rmSync(work, { recursive: true });
  }
}

function testsOf(names) {
  return names.map((name) => `packages/kernels-cuda/test/${name}.test.ts`);
}

function run(args, env) {
  spawn(process.execPath, args, env);
}

function spawn(program, args, env) {
  const { status } = spawnSync(program, args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env },
  });
  if (status !== 0) process.exit(status ?? 1);
}
