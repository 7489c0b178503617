import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The bundle's commit, from where it was made. */
export function commitOf() {
  return readFileSync(join(dirname(fileURLToPath(import.meta.url)), 'commit.txt'), 'utf8').trim();
}
