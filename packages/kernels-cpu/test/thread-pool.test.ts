/** The pool of threads alone, compiled into a program of its own. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
let folder = '';
const program = () => join(folder, 'rounds');

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vwn-thread-pool-'));
  const sources = [here('support/thread-pool-rounds.cc'), here('../native/threads.cc')];
  execFileSync(process.env.CXX ?? 'g++', ['-std=c++20', '-O2', '-pthread', ...sources, '-o', program()]);
});
afterAll(() => rmSync(folder, { recursive: true }));

const rounds = (threads: number, count: number) =>
  execFileSync(program(), [String(threads), String(count)], { encoding: 'utf8' }).trim();

describe('the pool of threads', () => {
  it('has every thread take part in every round, whether it was looking for work or asleep', () => {
    expect(rounds(2, 20_000)).toBe('all threads took part in 20000 rounds');
  });

  it('does so with more threads than processors', () => {
    expect(rounds(5, 2_000)).toBe('all threads took part in 2000 rounds');
  });
});
