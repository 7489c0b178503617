import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes a folder and those above it; one that is there already is left as it is. Node's own `recursive` never ends where
 * a file system without room for folders says that they do not exist, as /proc does (seen with Node 20).
 * @throws Error of the operating system
 */
export function makeFolder(dir: string): void {
  if (isFolder(dir)) return;
  try {
    mkdirSync(dir);
  } catch (error) {
    const parent = dirname(dir);
    if (codeOf(error) === 'EEXIST' && isFolder(dir)) return; // someone else was faster
    if (codeOf(error) !== 'ENOENT' || isFolder(parent)) throw error;
    makeFolder(parent);
    makeFolder(dir);
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code;
