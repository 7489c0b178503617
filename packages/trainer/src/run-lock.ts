import { ConfigError, StorageError } from '@vwn/core';
import { temporaryMark } from '@vwn/layers/checkpoint';
import { randomBytes } from 'node:crypto';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const lockName = 'lock';

/** What runs write and have not finished, or do not keep; the number is that of the process. Other files are the user's. */
const temporaries = /^(checkpoint-\d+|config\.yaml|metrics\.jsonl|lock)\.tmp-([1-9]\d*)-[0-9a-f]{6}$/;

/** Locks of this process. One of its number that is not here is left from a process that had the number before. */
const held = new Set<string>();

/**
 * Keeps other processes of this machine from training into a folder. Every process puts a file of its own there and then
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
    const lock = new RunLock(dir, `${lockName}${temporaryMark}${process.pid}-${randomBytes(3).toString('hex')}`);
    lock.write();
    try {
      lock.refuseOthers();
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

  private refuseOthers(): void {
    for (const name of readdirSync(this.dir)) {
      const writer = writerOf(name);
      if (writer?.of !== lockName || name === this.name || !isAtWork(name, writer.pid)) continue;
      const who = writer.pid === process.pid ? 'this process' : 'another process';
      throw new ConfigError(`${who} (pid ${writer.pid}) is training in ${this.dir}`, {
        hint: `Wait for its end or stop it, or choose another folder (--out); if that process is not a training, delete ${join(this.dir, name)}`,
      });
    }
  }
}

function writerOf(name: string): { of: string; pid: number } | undefined {
  const [, of, pid] = temporaries.exec(name) ?? [];
  return of === undefined ? undefined : { of, pid: Number(pid) };
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
