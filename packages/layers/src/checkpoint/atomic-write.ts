import { StorageError, VwnError } from '@vwn/core';
import { randomBytes } from 'node:crypto';
import { open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { makeFolder } from './make-folder';

/** The name beside `path` of what is to become it and is not complete yet, which is never loaded. */
export function temporaryName(path: string): string {
  return join(dirname(path), `${basename(path)}.tmp-${process.pid}-${randomBytes(3).toString('hex')}`);
}

/** What a temporary file or folder is to become, and the process that writes it; undefined for any other name. */
export function readTemporaryName(path: string): { of: string; pid: number } | undefined {
  const [, of, pid] = /^(.+)\.tmp-([1-9]\d*)-[0-9a-f]{6}$/.exec(basename(resolve(path))) ?? [];
  return of === undefined ? undefined : { of, pid: Number(pid) };
}

/** Whether a file or folder of that path is one that is not complete yet. */
export function isTemporary(path: string): boolean {
  return readTemporaryName(path) !== undefined;
}

/** Writes parts to a temporary sibling, flushes, renames. @throws StorageError; nothing is left behind then. */
export async function writeFileAtomically(file: string, parts: readonly (Uint8Array | string)[]): Promise<void> {
  const temporary = temporaryName(file);
  const handle = await open(temporary, 'wx').catch((cause: unknown) => {
    throw storageError(file, cause);
  });
  try {
    try {
      for (const part of parts)
        await writeAll(handle, typeof part === 'string' ? new TextEncoder().encode(part) : part);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw storageError(file, cause);
  }
}

/** node refuses to move 2 GiB or more at once. */
const maxTransfer = 2 ** 30;

async function writeAll(handle: Awaited<ReturnType<typeof open>>, bytes: Uint8Array): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, written, Math.min(bytes.length - written, maxTransfer));
    written += bytesWritten;
  }
}

/**
 * Fills a folder under a temporary name, flushes it, and then gives it its own: the folder either is complete or does
 * not exist. An older folder of that name is replaced; a crash between the two renames that this takes leaves both
 * under temporary names.
 * @throws StorageError, or what `fill` throws; the temporary folder is removed then, and an older one still there.
 */
export async function writeFolderAtomically(folder: string, fill: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = temporaryName(folder);
  try {
    makeFolder(temporary);
  } catch (cause) {
    throw storageError(folder, cause);
  }
  try {
    await fill(temporary);
    await syncTree(temporary);
    await replaceFolder(temporary, folder);
    await syncFolder(dirname(folder));
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true });
    throw storageError(folder, cause);
  }
}

async function replaceFolder(temporary: string, folder: string): Promise<void> {
  const old = temporaryName(folder);
  const hadOld = await rename(folder, old).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
  try {
    await rename(temporary, folder);
  } catch (cause) {
    if (hadOld) await rename(old, folder);
    throw cause;
  }
  if (hadOld) await rm(old, { recursive: true, force: true });
}

/** Flushes every file of a folder, whoever wrote it: a name must not outlive a power cut without its bytes. */
async function syncTree(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await syncTree(path);
    else await syncPath(path, 'r+');
  }
  await syncFolder(folder);
}

/** Names in a folder survive a power cut only once the folder itself is flushed. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return; // folders cannot be opened there
  await syncPath(folder, 'r');
}

async function syncPath(path: string, flags: string): Promise<void> {
  const handle = await open(path, flags);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: 'no space is left on the device',
  EDQUOT: 'the disk quota is used up',
  EACCES: 'there is no permission to write there',
  EROFS: 'the file system is read-only',
  ENOTDIR: 'a file stands where a folder is needed',
  ENOENT: 'no folder can be made there',
};

/** What the operating system refused, as against a defect or an error that already explains itself. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return (
    error instanceof Error && !(error instanceof VwnError) && typeof (error as { code?: unknown }).code === 'string'
  );
}

function storageError(path: string, cause: unknown): unknown {
  if (!isSystemError(cause)) return cause;
  const got = reasons[cause.code ?? ''] ?? cause.message;
  return new StorageError(`cannot write ${path}`, {
    got,
    hint: 'Nothing written before is lost; make room or choose another folder, then go on',
    cause,
  });
}
