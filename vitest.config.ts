import { defineConfig } from 'vitest/config';

// Source of the neighbouring packages is used directly (the `@vwn/source` export condition), so tests need no build;
// the packed tarballs are tested by scripts/check-packages.mjs.
const conditions = ['@vwn/source', 'node', 'import', 'module', 'default'];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    include: ['packages/*/test/**/*.test.ts', 'apps/*/test/**/*.test.ts', 'scripts/test/**/*.test.ts'],
    environment: 'node',
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
