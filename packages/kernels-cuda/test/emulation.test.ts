/** What runs kernels on the host must itself find what a GPU would do wrong silently. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
let folder = '';
let lines: string[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vwn-emulation-'));
  const program = join(folder, 'bad-kernels');
  const sources = ['emulation/fibres.cc', 'emulation/runtime.cc', 'scratch.cc'].map((name) =>
    here(`../native/${name}`),
  );
  const includes = ['../native', '../../kernels/include'].map((path) => `-I${here(path)}`);
  const flags = ['-std=c++20', '-O1', '-U_FORTIFY_SOURCE', '-DVWN_ISA=cuda', '-DVWN_EMULATED'];
  execFileSync(process.env.CXX ?? 'g++', [
    ...flags,
    ...includes,
    here('support/bad-kernels.cc'),
    ...sources,
    '-o',
    program,
  ]);
  lines = execFileSync(program, { encoding: 'utf8' }).trim().split('\n');
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What is printed for a kernel, and the line after it. */
const after = (title: string) => {
  const at = lines.findIndex((line) => line.startsWith(`${title}: `));
  return [lines[at]?.slice(title.length + 2), lines[at + 1]];
};

describe('emulation', () => {
  it('runs blocks with barriers, shuffles and shared memory', () => {
    expect(after('right')).toEqual(['done', 'sums 2016 2016']);
  });

  it('lets a missing barrier show, in one order of threads or the other', () => {
    const [text, sums] = after('no barrier');
    expect(text).toBe('done');
    expect(sums).toContain('nan');
  });

  it('makes NaN of shared memory that nobody wrote', () => {
    expect(after('unwritten')).toEqual(['done', 'read nan']);
  });

  it('multiplies fragments of matrices, however they were loaded', () => {
    expect(after('products')).toEqual(['done', 'wrong 0']);
  });

  it('makes copies that are asked for when they are waited for, and not before', () => {
    expect(after('copies')).toEqual(['done', 'read 3 0 11']);
    expect(after('copies not awaited')).toEqual(['done', 'read nan nan nan']);
  });

  it.each([
    ['odd row', 'ldmatrix needs rows on 16 bytes'],
    ['odd copy', 'cp.async needs both addresses on 16 bytes'],
    ['half barrier', 'some threads of a block wait at a barrier that others have left out'],
    ['half shuffle', 'a shuffle that not all lanes of the warp take part in'],
    ['other types', 'kernel right_f32 was launched with arguments of other types than its own'],
    ['missing', 'there is no kernel left_f32'],
    ['odd block', 'kernel right_f32 cannot be launched on a grid or a block of this size'],
    ['too much', 'kernel right_f32 asks for more shared memory than there is'],
  ])('refuses: %s', (title, text) => {
    expect(after(title)[0]).toBe(text);
  });

  it('runs kernels again after a failure', () => {
    expect(after('right again')[0]).toBe('done');
  });
});
