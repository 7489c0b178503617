/**
 * The tests that a machine with a GPU is to run, each bundled into a file of its own for Node's test runner: every
 * function of vwn-cuda against vwn-cpu's, case table, golden vectors, captured and recorded steps.
 */
import { build } from 'esbuild';
import { cpSync } from 'node:fs';
import { join } from 'node:path';

/** Packages and their tests; all names are different. */
const files = {
  core: ['op-cases', 'connection-golden', 'kernel-capture'],
  layers: ['language-model-golden'],
  trainer: ['captured-step'],
  'kernels-cuda': [
    'attention',
    'connection-step',
    'elementwise',
    'experts',
    'fill',
    'products',
    'recording',
    'training-step',
    'transformer',
  ],
};
/** Folders that tests look for beside themselves. */
const fixtures = ['core/test/fixtures/golden/connection', 'layers/test/fixtures/golden/lm'];

/** Fills `folder` from the checkout at `root`. Options: of esbuild, as all programs of the bundle have them. */
export async function bundleTests(root, folder, options) {
  await build({
    ...options,
    entryPoints: Object.entries(files).flatMap(([name, tests]) =>
      tests.map((test) => join(root, 'packages', name, 'test', `${test}.test.ts`)),
    ),
    outdir: folder,
    entryNames: '[name]',
    // As vitest.config.ts: the sources of packages, all from one place.
    conditions: ['@vwn/source', 'node', 'import', 'module'],
    alias: { vitest: join(root, 'bench', 'gpu', 'vitest-on-node.mjs') },
    nodePaths: [join(root, 'node_modules')],
  });
  for (const each of fixtures)
    cpSync(join(root, 'packages', each), join(folder, each.replace(/^\w+\/test\//, '')), { recursive: true });
}
