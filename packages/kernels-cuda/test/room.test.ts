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

/** Tokens at once and buffers for them, and forward the blocks of a multiprocessor. */
function roomFor(m: number, n: number, D: number) {
  const args = [m, n, D, 227].map(String);
  const numbers = execFileSync(join(folder, 'room'), args, { encoding: 'utf8' }).trim().split(' ').map(Number);
  const [tokens = 0, buffers = 0, backwardTokens = 0, backwardBuffers = 0, blocks = 0, ...ofHopper] = numbers;
  const [slabs = 0, ring = 0, hopperBlocks = 0, ...share] = ofHopper;
  return {
    forward: { tokens, buffers, blocks },
    backward: { tokens: backwardTokens, buffers: backwardBuffers },
    warpgroups: { slabs, ring, blocks: hopperBlocks, share },
  };
}

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
  ])('has other tokens of (%i,%i) with D = %i on their way while some are computed', (m, n, D) => {
    const { forward, backward } = roomFor(m, n, D);
    expect(forward.tokens).toBeGreaterThan(0);
    expect(Math.max(forward.buffers, forward.blocks)).toBeGreaterThanOrEqual(2);
    expect(backward.tokens).toBeGreaterThan(0);
    expect(backward.buffers).toBe(2);
  });

  it.each([
    [4, 16, 5376],
    [8, 32, 5504],
    [8, 64, 2688],
  ])('holds a token of (%i,%i) up to D = %i in both passes, as the README says', (m, n, D) => {
    const { forward, backward } = roomFor(m, n, D);
    expect([forward.tokens > 0, backward.tokens > 0]).toEqual([true, true]);
    expect(roomFor(m, n, D + 16 * m).backward.tokens).toBe(0);
  });

  it.each([
    [512, 2 * 1, 2, [1, 1]],
    [1024, 2 * 2, 2, [1, 1]],
    [1536, 2 * 3, 2, [1, 1]],
    [2048, 4 + 1, 2, [1, 1]],
    [2560, 2 * 5, 1, [0, 2]],
    [4096, 13, 1, [0, 2]],
  ])(
    'holds slabs of (8,64) with D = %i for warpgroups: %i, in %i blocks; backward a token is shared by so many, without clusters and with: %j',
    (D, ring, blocks, share) => {
      const { warpgroups } = roomFor(8, 64, D);
      expect([warpgroups.ring, warpgroups.blocks, warpgroups.share]).toEqual([ring, blocks, share]);
    },
  );

  it.each([
    [8, 64, 4608],
    [8, 64, 1152],
    [5, 64, 640],
    [10, 64, 640],
  ])('is not for warpgroups: (%i,%i) with D = %i', (m, n, D) => {
    const { warpgroups } = roomFor(m, n, D);
    expect([warpgroups.ring, ...warpgroups.share]).toEqual([0, 0, 0]);
  });
});
