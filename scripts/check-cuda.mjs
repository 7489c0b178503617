/**
 * The kernels of vwn-cuda on a machine without a GPU: run on the host thread by thread, function by function against
 * vwn-cpu, then the case table and golden vectors; the loader against drivers that lack something; and, where nvcc is,
 * what it compiles for GPUs.
 */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const files = [
  'packages/kernels-cuda',
  'packages/core/test/op-cases.test.ts',
  'packages/core/test/connection-golden.test.ts',
  'packages/layers/test/language-model-golden.test.ts',
];
const { status } = spawnSync(process.execPath, [join(root, 'node_modules', 'vitest', 'vitest.mjs'), 'run', ...files], {
  cwd: root,
  stdio: ['ignore', 'inherit', 'inherit'],
  env: { ...process.env, VWN_TEST_BACKENDS: 'vwn-cuda' },
});
process.exit(status ?? 1);
