import { DataError, StorageError } from '@vwn/core';
import { makeFolder } from '@vwn/layers/checkpoint';
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';

/** Reads a file that the user named. @throws DataError saying what was expected there. */
function readUserFile(file: string, what: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    const got = describe(cause);
    throw new DataError(`cannot read ${file}`, {
      expected: what,
      got,
      hint: 'Check the path and its permissions',
      cause,
    });
  }
}

/** {@link readUserFile} of a text, without the mark of its byte order. @throws DataError */
export function readUserText(file: string, what: string): string {
  const bytes = readUserFile(file, what);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new DataError(`${file} is not UTF-8 text`, {
      expected: what,
      hint: 'Convert it, e.g. with iconv -t utf-8',
      cause,
    });
  }
}

/** @throws DataError naming the file and where the JSON breaks. */
export function parseUserJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const got = cause instanceof Error ? cause.message : String(cause);
    throw new DataError(`${file} is not valid JSON`, { got, hint: 'Is the file complete?', cause });
  }
}

/** Writes a result file, making its folder. @throws StorageError */
export function writeUserFile(file: string, content: string): void {
  intoFile(file, () => writeFileSync(file, content));
}

/**
 * Refuses a result file that cannot be written, before a long run whose results would be lost; makes its folder. A file
 * that is there stays as it is.
 * @throws StorageError
 */
export function requireWritable(file: string): void {
  intoFile(file, () => {
    const isThere = existsSync(file) && !statSync(file).isDirectory();
    // Not opened: a pipe's reader would take its end for that of the results.
    if (isThere) return accessSync(file, constants.W_OK);
    // Made and removed again: whether that works the system alone can tell.
    closeSync(openSync(file, 'a'));
    rmSync(realpathSync(file));
  });
}

function intoFile(file: string, write: () => void): void {
  try {
    makeFolder(dirname(file));
    write();
  } catch (cause) {
    throw new StorageError(`cannot write ${file}`, {
      got: describe(cause),
      hint: 'Free some space or choose another place',
      cause,
    });
  }
}

/** @throws StorageError naming the folder that cannot be made */
export function makeUserFolder(dir: string): void {
  try {
    makeFolder(dir);
  } catch (cause) {
    throw new StorageError(`cannot make the folder ${dir}`, {
      got: describe(cause),
      hint: 'Choose another place',
      cause,
    });
  }
}

/** Names in a folder; none where there is none. @throws StorageError */
export function listFolder(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new StorageError(`cannot look into ${dir}`, { got: describe(cause), hint: 'Choose another place', cause });
  }
}

/** Removes a folder of an earlier run, if there is one. @throws StorageError */
export function removeFolder(dir: string): void {
  try {
    rmSync(dir, { recursive: true, force: true });
  } catch (cause) {
    throw new StorageError(`cannot clear ${dir}`, { got: describe(cause), hint: 'Choose another place', cause });
  }
}

function describe(cause: unknown): string {
  const code = (cause as NodeJS.ErrnoException).code;
  const known: Record<string, string> = {
    ENOENT: 'nothing at that path',
    EISDIR: 'a folder',
    EACCES: 'no permission',
    ENOSPC: 'no space left on the device',
    ENOTDIR: 'a file where a folder should be',
    EEXIST: 'a file where a folder should be',
  };
  return (code && known[code]) ?? (cause instanceof Error ? cause.message : String(cause));
}
