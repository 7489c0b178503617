/**
 * The tests that a machine with a GPU is to run, each bundled into a file of its own for Node's test runner: every
 * function of vwn-cuda against vwn-cpu's, case table, golden vectors, captured and recorded steps.
 */
import { build } from 'esbuild';
import { cpSync } from 'node:fs';
import { join } from 'node:path';

/** Options of esbuild for a program that runs where Node is all there is. */
export const standalone = {
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  logLevel: 'error',
  external: ['@tensorflow/tfjs-node', '@tensorflow/tfjs-node-gpu'],
  banner: {
    js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
  },
};

/** As vitest.config.ts: the sources of packages, all from one place. */
export const fromSources = (root) => ({
  conditions: ['@vwn/source', 'node', 'import', 'module'],
  nodePaths: [join(root, 'node_modules')],
});

/** Packages and their tests; all names are different. */
export const testsForGpus = {
  core: ['op-cases', 'connection-golden', 'kernel-capture'],
  layers: ['language-model-golden'],
  trainer: ['captured-step'],
  'kernels-cuda': [
    'attention',
    'connection-step',
    'connection-tiles',
    'connection-warpgroups',
    'elementwise',
    'experts',
    'fill',
    'products',
    'recording',
    'rounded-weights',
    'training-step',
    'transformer',
  ],
};
/** Folders that tests look for beside themselves. */
const fixtures = ['core/test/fixtures/golden/connection', 'layers/test/fixtures/golden/lm'];

/** Fills `folder` from the checkout at `root`; `options` are more ones of esbuild. */
export async function bundleTests(root, folder, { files = testsForGpus, ...options } = {}) {
  await build({
    ...standalone,
    ...fromSources(root),
    ...options,
    entryPoints: Object.entries(files).flatMap(([name, tests]) =>
      tests.map((test) => join(root, 'packages', name, 'test', `${test}.test.ts`)),
    ),
    outdir: folder,
    entryNames: '[name]',
    alias: { vitest: join(root, 'bench', 'gpu', 'vitest-on-node.mjs') },
  });
  for (const each of fixtures)
    cpSync(join(root, 'packages', each), join(folder, each.replace(/^\w+\/test\//, '')), { recursive: true });
}
