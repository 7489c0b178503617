/**
 * Makes a TypeScript file of these tests runnable by plain Node: bundled from the sources of this checkout, so that a
 * child process never tests an old build. TensorFlow.js stays outside, one copy for all.
 */
import { build } from 'esbuild';
import { mkdirSync, renameSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const support = dirname(fileURLToPath(import.meta.url));

/** The addon of this checkout; a bundle lies elsewhere than the sources and would not find it by itself. */
export const addon = join(support, '..', '..', 'build', 'vwn_cpu.node');

/** @returns the file to run, for an entry of this folder, e.g. `case-table.ts` */
export async function bundle(entry) {
  const folder = join(support, '.cache');
  const file = join(folder, `${basename(entry, '.ts')}.mjs`);
  mkdirSync(folder, { recursive: true });
  // Two test files may bundle the same entry at once: each writes its own, and the last one stays.
  const mine = `${file}.${process.pid}`;
  await build({
    entryPoints: [join(support, entry)],
    outfile: mine,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    conditions: ['@vwn/source'],
    external: ['@tensorflow/*'],
    logLevel: 'error',
  });
  renameSync(mine, file);
  return file;
}
