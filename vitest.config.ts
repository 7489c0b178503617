import { configDefaults, defineConfig } from 'vitest/config';

// Source of the neighbouring packages is used directly (the `@vwn/source` export condition), so tests need no build;
// the packed tarballs are tested by scripts/check-packages.mjs.
const conditions = ['@vwn/source', 'node', 'import', 'module', 'default'];

// Kernels for GPUs run on the host, thread by thread: scripts/check-cuda.mjs says which tests are worth their time there.
const testsCuda = process.env.VWN_TEST_BACKENDS?.split(',').includes('vwn-cuda');

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    include: ['packages/*/test/**/*.test.ts', 'apps/*/test/**/*.test.ts', 'scripts/test/**/*.test.ts'],
    exclude: [...configDefaults.exclude, ...(testsCuda ? [] : ['packages/kernels-cuda/**'])],
    environment: 'node',
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
