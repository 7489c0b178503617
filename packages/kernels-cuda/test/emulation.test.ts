/** What runs kernels on the host must itself find what a GPU would do wrong silently. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { watchedFlags } from '../scripts/watched-flags.mjs';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const compiler = process.env.CXX ?? 'g++';
const flags = [
  ...['-std=c++20', '-O1', '-U_FORTIFY_SOURCE', '-DVWN_ISA=cuda', '-DVWN_EMULATED'],
  ...['../native', '../../kernels/include'].map((path) => `-I${here(path)}`),
];
const isClang = execFileSync(compiler, ['--version'], { encoding: 'utf8' }).includes('clang');
let folder = '';
let lines: string[] = [];
let watchedLines: string[] = [];
let traffic: readonly { kernel: string; instructions: readonly Record<string, number>[] }[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vwn-emulation-'));
  lines = linesOf(programOf('bad-kernels', [], []));
  if (isClang) return;
  const watched = programOf('worse-kernels', ['-DVWN_WATCHED'], watchedFlags);
  const report = join(folder, 'report.json');
  watchedLines = linesOf(watched, { VWN_WATCH_REPORT: report });
  traffic = JSON.parse(readFileSync(report, 'utf8')) as typeof traffic;
});
afterAll(() => rmSync(folder, { recursive: true }));

function programOf(name: string, more: readonly string[], ofKernels: readonly string[]): string {
  const [object, program] = [join(folder, `${name}.o`), join(folder, name)];
  const ofEmulation = ['fibres', 'products', 'runtime', 'watch', 'traffic'].map((each) => `emulation/${each}.cc`);
  const all = [...ofEmulation, 'scratch.cc'].map((source) => here(`../native/${source}`));
  execFileSync(compiler, [...flags, ...more, ...ofKernels, '-c', here(`support/${name}.cc`), '-o', object]);
  execFileSync(compiler, [...flags, ...more, object, ...all, '-ldl', '-o', program]);
  return program;
}

const linesOf = (program: string, env: Record<string, string> = {}) =>
  execFileSync(program, { encoding: 'utf8', env: { ...process.env, ...env } })
    .trim()
    .split('\n');

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

  const tilesOf = { rows: [1, 4, 5, 8, 9, 16], columns: [8, 16] };
  const groups = Object.entries(tilesOf).flatMap(([right, tiles]) =>
    tiles.flatMap((count) =>
      ['registers', 'rows', 'columns'].map((left) => `${left} by ${right}, ${String(count)} tiles`),
    ),
  );
  it.each(groups)('multiplies by warpgroups: %s', (title) => {
    expect(after(title)).toEqual(['done', 'wrong 0']);
  });

  it('shows no sum of a warpgroup before it is waited for', () => {
    expect(after('sums not awaited')).toEqual(['done', 'numbers 0']);
  });

  it('lets blocks add to the same sums in turn', () => {
    expect(after('turns')).toEqual(['done', 'sums 10 10, problem 0']);
  });

  it('lets two blocks of a cluster show each other what they have', () => {
    expect(after('a cluster meets')).toEqual(['done', 'shown 101 1 300 201']);
  });

  it.each([
    ['odd row', 'ldmatrix needs rows on 16 bytes'],
    ['odd copy', 'cp.async needs both addresses on 16 bytes'],
    ['odd factor', 'wgmma needs slabs that begin on 1024 bytes'],
    ['part of a slab by columns', 'a right factor by columns must have whole slabs of 64'],
    ['no begin', 'wgmma needs a wgmma.fence before it, and again behind what was waited for'],
    ['a warp left out', 'a product that not all warps of a group take part in'],
    ['warps disagree', 'warps of a group ask wgmma for different products'],
    ['overwritten while pending', 'wgmma reads what changes before it is waited for'],
    ['overwritten behind a barrier', 'wgmma reads what changes before it is waited for'],
    ['half barrier', 'some threads of a block wait at a barrier that others have left out'],
    ['half shuffle', 'a shuffle that not all lanes of the warp take part in'],
    ['a block left out', 'some threads of a cluster wait at a barrier that others have left out'],
    ['not come before', "a thread waits at a cluster's barrier that it has not come to"],
    ['not awaited', "a thread comes to a cluster's barrier before it has waited for the last one"],
    ['a turn of a later block', 'a block waits for the turn of one that was not begun before it'],
    ['half a cluster', 'kernel meet_f32 was launched on a grid that is not of whole clusters'],
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

describe.skipIf(isClang)('a watched build, by GCC', () => {
  /** Whichever of two threads the host runs first. */
  const race = /(writes|reads) \d+ bytes of shared memory at byte \d+ that thread \d+ of block 0 (writes|reads), /;
  const wait = 'with nothing between that makes one wait for the other';
  const raceInCluster =
    /(writes|reads) 4 bytes of shared memory at byte \d+ that thread \d+ of block \d (writes|reads), /;
  const unfenced = /multiplies 16 bytes of shared memory at byte \d+ that thread \d+ writes, /;
  it.each([
    ['all wait', 'done'],
    ['the warp waits', 'done'],
    ["a warp's barrier", 'done'],
    ['flags', 'done'],
    ['near', 'done'],
    ['far', 'done'],
    ['products', 'done'],
    ['a cluster meets', 'done'],
  ])('finds nothing wrong with: %s', (title, text) => expect(watchedLines).toContain(`${title}: ${text}`));

  it.each([
    ['no barrier', race, wait],
    ["no warp's barrier", race, wait],
    ['overwrite', race, wait],
    ['behind a matrix', race, wait],
    ['own number', race, wait],
    ['two blocks', /thread 0 of block 1 writes 4 bytes of the device's memory that thread 0 of block 0 writes, /, wait],
    [
      'last',
      /kernel behind_f32: thread \d+ of block 0 writes 4 bytes of the device's memory /,
      "that are not the kernel's",
    ],
    ['freed', /kernel strides_f32: thread \d+ of block 0 reads 4 bytes /, "that are not the kernel's"],
    ['behind shared', /reads 4 bytes of shared memory at byte 256 /, "that are not the kernel's"],
    ['odd pair', /reads 8 bytes of the device's memory /, 'that do not lie on as many'],
    ['odd put', /writes 8 bytes of the device's memory /, 'that do not lie on as many'],
    ['products without a barrier', race, wait],
    ['overwritten afterwards', race, wait],
    ['products without a fence', unfenced, 'without a fence for products'],
    ['products fenced before copies', unfenced, 'without a fence for products'],
    ['products fenced too late', unfenced, 'without a fence for products'],
    ['shown without a barrier', raceInCluster, wait],
    ['shown too late', raceInCluster, wait],
    ['shown again too early', raceInCluster, wait],
    ['early', /reads 4 bytes of shared memory at byte \d+ /, 'that a copy may be writing'],
  ])('finds: %s', (title, does, text) => {
    const line = watchedLines.find((each) => each.startsWith(`${title}: `)) ?? '';
    expect(line).toMatch(does);
    expect(line.endsWith(text)).toBe(true);
  });

  it('counts sectors of the device and turns of shared memory as a warp asks for them, near and far', () => {
    const of = traffic.find(({ kernel }) => kernel === 'strides_f32');
    const sum = (isShared: number, isWrite: number, key: string) =>
      of?.instructions
        .filter((each) => each.isShared === isShared && each.isWrite === isWrite)
        .reduce((total, each) => total + (each[key] ?? 0), 0);
    expect(sum(0, 0, 'units')).toBe(4 + 32);
    expect(sum(0, 0, 'least')).toBe(2 * 32 * 4);
    expect(sum(1, 1, 'units')).toBe(1 + 32);
    expect(sum(1, 1, 'least')).toBe(2);
  });
});
