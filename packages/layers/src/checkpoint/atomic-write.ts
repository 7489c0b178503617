import { StorageError } from '@vwn/core';
import { randomBytes } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** In the name of everything that is not complete yet; nothing with it in its name is ever loaded. */
export const temporaryMark = '.tmp-';

export function temporaryName(path: string): string {
  return join(dirname(path), `${basename(path)}${temporaryMark}${process.pid}-${randomBytes(3).toString('hex')}`);
}

/** Writes parts to a temporary sibling, flushes, renames. @throws StorageError; nothing is left behind then. */
export async function writeFileAtomically(file: string, parts: readonly (Uint8Array | string)[]): Promise<void> {
  const temporary = temporaryName(file);
  try {
    const handle = await open(temporary, 'wx');
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

/** node's filehandle.writeFile hides short writes of large buffers; this does not. */
async function writeAll(handle: Awaited<ReturnType<typeof open>>, bytes: Uint8Array): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, written, bytes.length - written);
    written += bytesWritten;
  }
}

/**
 * Fills a folder under a temporary name and then gives it its own: the folder either is complete or does not exist.
 * An older folder of that name is replaced. @throws StorageError; the temporary folder is removed then.
 */
export async function writeFolderAtomically(folder: string, fill: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = temporaryName(folder);
  try {
    await mkdir(temporary, { recursive: true });
    await fill(temporary);
    await syncFolder(temporary);
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
  await rename(temporary, folder);
  if (hadOld) await rm(old, { recursive: true, force: true });
}

/** Names in a folder survive a power cut only once the folder itself is flushed. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return; // folders cannot be opened there
  const handle = await open(folder, 'r');
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
};

function storageError(path: string, cause: unknown): unknown {
  if (cause instanceof StorageError) return cause;
  const { code, message } = cause as NodeJS.ErrnoException;
  const got = (code && reasons[code]) ?? message;
  return new StorageError(`cannot write ${path}`, {
    got,
    hint: 'Nothing written before is lost; make room or choose another folder, then go on',
    cause,
  });
}
