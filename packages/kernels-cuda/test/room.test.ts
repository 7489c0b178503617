/** Sizes of models for which connection steps on tensor cores have room; beyond them, general kernels take over. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
let folder = '';

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vwn-room-'));
  const flags = ['-std=c++20', '-DVWN_ISA=cuda', `-I${here('../native')}`, `-I${here('../../kernels/include')}`];
  execFileSync(process.env.CXX ?? 'g++', [...flags, here('support/room.cc'), '-o', join(folder, 'room')]);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Tokens at once and buffers for them, forward and backward. */
const roomFor = (m: number, n: number, D: number, kib: number) =>
  execFileSync(join(folder, 'room'), [m, n, D, kib].map(String), { encoding: 'utf8' }).trim().split(' ').map(Number);

describe('shared memory of Hopper', () => {
  it.each([
    [4, 16, 1024],
    [4, 16, 2048],
    [4, 16, 4096],
    [8, 32, 1024],
    [8, 32, 2048],
    [8, 32, 4096],
    [8, 64, 1024],
    [8, 64, 2048],
  ])('has the next tokens of (%i,%i) with D = %i on their way while others are computed', (m, n, D) => {
    const [tokens, buffers, backwardTokens, backwardBuffers] = roomFor(m, n, D, 227);
    expect(tokens).toBeGreaterThan(0);
    // Forward, a second block of one buffer does as well.
    expect(buffers === 2 || D === 1024).toBe(true);
    expect(backwardTokens).toBeGreaterThan(0);
    expect(backwardBuffers).toBe(2);
  });

  it.each([
    [4, 16, 5376],
    [8, 32, 5504],
    [8, 64, 2688],
  ])('holds a token of (%i,%i) up to D = %i in both passes, as the README says', (m, n, D) => {
    expect(roomFor(m, n, D, 227)[2]).toBe(1);
    expect(roomFor(m, n, D + 16 * m, 227)[2]).toBe(0);
  });
});
