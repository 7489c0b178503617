/** The pool of threads alone, compiled into a program of its own. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
let folder = '';
const program = (name: string) => join(folder, name);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vwn-thread-pool-'));
  for (const name of ['rounds', 'limit']) {
    const sources = [here(`support/thread-pool-${name}.cc`), here('../native/threads.cc')];
    execFileSync(process.env.CXX ?? 'g++', ['-std=c++20', '-O2', '-pthread', ...sources, '-o', program(name)]);
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

const run = (name: string, ...numbers: number[]) =>
  execFileSync(program(name), numbers.map(String), { encoding: 'utf8' }).trim();
const rounds = (threads: number, count: number) => run('rounds', threads, count);

describe('the pool of threads', () => {
  it('has every thread take part in every round, whether it was looking for work or asleep', () => {
    expect(rounds(2, 20_000)).toBe('all threads took part in 20000 rounds');
  });

  it('does so with more threads than processors', () => {
    expect(rounds(5, 2_000)).toBe('all threads took part in 2000 rounds');
  });

  it('makes do with the threads that the system has, down to one, and says how many these are', () => {
    expect(run('limit', 3, 4096)).toBe('all tasks by 3 threads');
    const [, some] = /^all tasks by (\d+) threads$/.exec(run('limit', 200, 200)) ?? [];
    expect(Number(some)).toBeGreaterThan(1);
    expect(Number(some)).toBeLessThan(50);
    expect(run('limit', 200, 12)).toBe('all tasks by 1 threads');
  });
});
