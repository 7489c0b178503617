import { ConfigError, StorageError } from '@vwn/core';
import { readTemporaryName, temporaryName } from '@vwn/layers/checkpoint';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

const lockName = 'lock';

/** What runs write under a temporary name until it is complete, or do not keep. Other files are the user's. */
const ofRuns = /^(checkpoint-\d+|config\.yaml|metrics\.jsonl|lock)$/;

/** Locks of this process. One of its number that is not here is left from a process that had the number before. */
const held = new Set<string>();

/**
 * Keeps other processes of this machine from training into a folder, though not worker threads of one process, nor
 * containers that share it, which number their processes anew. Every process puts a file of its own there and then
 * looks for others, so that there is no moment in which two could take over what a killed one left; two that start at
 * the very same time may both be refused.
 */
export class RunLock {
  private constructor(
    private readonly dir: string,
    private readonly name: string,
  ) {}

  /** @throws ConfigError naming the process that is training there; StorageError */
  static take(dir: string): RunLock {
    const lock = new RunLock(dir, basename(temporaryName(join(dir, lockName))));
    lock.write();
    try {
      requireNotTraining(dir, lock.name);
    } catch (error) {
      lock.release();
      throw error;
    }
    return lock;
  }

  /** A file that cannot be removed any more stands in nobody's way once the process has ended. */
  release(): void {
    held.delete(this.name);
    try {
      rmSync(join(this.dir, this.name), { force: true });
    } catch {
      return;
    }
  }

  /** Removes what crashes left half-written, and nothing of a process that is still there. @throws StorageError */
  clearLeftovers(): void {
    for (const name of readdirSync(this.dir)) {
      const writer = writerOf(name);
      if (writer === undefined || isAtWork(name, writer.pid)) continue;
      const path = join(this.dir, name);
      refusedAs(`cannot remove ${path}, which a crash left half-written`, () =>
        rmSync(path, { recursive: true, force: true }),
      );
    }
  }

  private write(): void {
    const path = join(this.dir, this.name);
    refusedAs(`cannot write into the run folder ${this.dir}`, () => writeFileSync(path, '', { flag: 'wx' }));
    held.add(this.name);
  }
}

/**
 * Refuses a folder that a process of this machine is training into.
 * @param own the name of the caller's own lock there, if it has one
 * @throws ConfigError naming the process
 */
export function requireNotTraining(dir: string, own?: string): void {
  for (const name of existsSync(dir) ? readdirSync(dir) : []) {
    const writer = writerOf(name);
    if (writer?.of !== lockName || name === own || !isAtWork(name, writer.pid)) continue;
    const who = writer.pid === process.pid ? 'this process' : 'another process';
    throw new ConfigError(`${who} (pid ${writer.pid}) is training in ${dir}`, {
      hint: `Wait for its end or stop it, or choose another folder (--out); if that process is not a training, delete ${join(dir, name)}`,
    });
  }
}

function writerOf(name: string): { of: string; pid: number } | undefined {
  const writer = readTemporaryName(name);
  return writer && ofRuns.test(writer.of) ? writer : undefined;
}

function isAtWork(name: string, pid: number): boolean {
  return pid === process.pid ? held.has(name) : isAlive(pid);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0); // sends nothing
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // someone else's
  }
}

function refusedAs(what: string, action: () => void): void {
  try {
    action();
  } catch (cause) {
    const got = cause instanceof Error ? cause.message : String(cause);
    throw new StorageError(what, { got, hint: 'Make the folder writable, or choose another with --out', cause });
  }
}
