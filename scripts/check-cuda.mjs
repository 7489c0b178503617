/**
 * The kernels of vwn-cuda on a machine without a GPU: run on the host thread by thread, function by function against
 * vwn-cpu, then the case table, golden vectors and TensorFlow.js's own suite; the loader against drivers that lack
 * something; and, where nvcc is, what it compiles for GPUs.
 */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const VWN_CUDA_ADDON = join(root, 'packages', 'kernels-cuda', 'build', 'emulated', 'vwn_cuda.node');
const files = [
  'packages/kernels-cuda',
  'packages/core/test/op-cases.test.ts',
  'packages/core/test/connection-golden.test.ts',
  'packages/layers/test/language-model-golden.test.ts',
];

run(['node_modules/vitest/vitest.mjs', 'run', ...files], { VWN_TEST_BACKENDS: 'vwn-cuda' });
run(['packages/kernels/tfjs-suite/run.mjs', '--backend', 'vwn-cuda'], { VWN_CUDA_ADDON });

function run(args, env) {
  const { status } = spawnSync(process.execPath, args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env },
  });
  if (status !== 0) process.exit(status ?? 1);
}
