/** Kernels of a few lines of PTX, run by the interpreter, which is built for that. Needs no nvcc. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll } from 'vitest';

const here = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const interpreted = here('../build/interpreted');
let folder = '';
let count = 0;

beforeAll(() => {
  execFileSync(process.execPath, [here('../scripts/build-interpreted.mjs'), '--driver'], { stdio: 'inherit' });
  folder = mkdtempSync(join(tmpdir(), 'vwn-interpreter-'));
  const links = [`-L${interpreted}`, '-l:libcuda.so', `-Wl,-rpath,${interpreted}`];
  execFileSync(process.env.CXX ?? 'g++', [
    ...['-std=c++20', here('support/run-ptx.cc'), '-o', join(folder, 'run-ptx')],
    ...links,
  ]);
}, 240_000);
afterAll(() => rmSync(folder, { recursive: true }));

export interface Launch {
  readonly blocks?: number;
  readonly threads?: number;
  readonly shared?: number;
  readonly words?: number;
  /** What the buffer begins with. */
  readonly first?: readonly number[];
  /** Directives of the kernel, and functions that stand before it. */
  readonly directives?: string;
  readonly before?: string;
  readonly target?: string;
}

/** What is printed for a kernel whose buffer's address is in %buffer, its own element's in %own, and its thread's number in %thread. */
export function outputOf(body: string, launch: Launch = {}): string {
  const { blocks = 1, threads = 32, shared = 0, words = 32, first = [] } = launch;
  const { directives = '', before = '', target = 'sm_90a' } = launch;
  const file = join(folder, `${String(count++)}.ptx`);
  const text = `.version 9.0\n.target ${target}\n.address_size 64\n.extern .shared .align 1024 .b8 memory[];\n${before}
.visible .entry kernel(.param .u64 data)
${directives}
{
  .reg .pred %p<9>;
  .reg .b16 %h<9>;
  .reg .b32 %r<99>;
  .reg .f32 %f<99>;
  .reg .b64 %d<9>;
  .reg .b64 %buffer, %own, %offset;
  .reg .b32 %thread, %lane;
  ld.param.u64 %buffer, [data];
  mov.u32 %thread, %tid.x;
  mov.u32 %lane, %laneid;
  mul.wide.u32 %offset, %thread, 4;
  add.s64 %own, %buffer, %offset;
${body}
  ret;
}\n`;
  writeFileSync(file, text);
  const numbers = [blocks, threads, shared, words, ...first].map(String);
  return execFileSync(join(folder, 'run-ptx'), [file, 'kernel', ...numbers], { encoding: 'utf8' }).trim();
}

export const wordsOf = (body: string, launch: Launch = {}) =>
  outputOf(body, launch)
    .split(' ')
    .map((word) => (/^\d+$/.test(word) ? Number(word) : word));
export const floatOf = (bits: number | string) => new Float32Array(Uint32Array.of(Number(bits)).buffer)[0];
export const bitsOf = (value: number) => new Uint32Array(Float32Array.of(value).buffer)[0] ?? 0;
export const inHex = (value: number) => `0f${bitsOf(value).toString(16).toUpperCase().padStart(8, '0')}`;
export const lanes = Array.from({ length: 32 }, (_, lane) => lane);
