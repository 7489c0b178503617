/** Matrix instructions of the interpreter of PTX, against plain loops. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { bitsOf, floatOf, lanes, wordsOf } from './support/ptx';

describe('the interpreter of PTX, of matrices', () => {
  it('multiplies what lies in any layout that a descriptor can name, and refuses what it cannot', () => {
    const sources = ['interpreter', 'support'].map((folder) =>
      fileURLToPath(new URL(`${folder}/matrix-instructions.cc`, import.meta.url)),
    );
    const folder = mkdtempSync(join(tmpdir(), 'vwn-matrices-'));
    try {
      execFileSync(process.env.CXX ?? 'g++', ['-std=c++20', '-O2', ...sources, '-o', join(folder, 'test')]);
      expect(execFileSync(join(folder, 'test'), { encoding: 'utf8' })).toBe('all as the plain loops say\n');
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, 60_000);

  /** Copies the buffer's first bytes to shared memory, 16 a thread and time, and sets %r1 to its address. */
  const toShared = (bytes: number, threads: number) => `
      mov.u32 %r1, memory;
      mul.lo.s32 %r2, %thread, 16;
    $copy:
      setp.ge.u32 %p1, %r2, ${String(bytes)};
      @%p1 bra $copied;
      cvt.u64.u32 %d1, %r2;
      add.s64 %d1, %buffer, %d1;
      ld.global.v4.u32 {%r3, %r4, %r5, %r6}, [%d1];
      add.s32 %r7, %r1, %r2;
      st.shared.v4.u32 [%r7], {%r3, %r4, %r5, %r6};
      add.s32 %r2, %r2, ${String(16 * threads)};
      bra.uni $copy;
    $copied:
      bar.sync 0;`;
  const numbersOf = (words: readonly (number | string)[]) =>
    words.flatMap((word) => [Number(word) & 0xffff, Number(word) >>> 16]);

  it.each(['', '.trans'])('loads four matrices of bf16, a row from each lane%s', (transposed) => {
    const words = wordsOf(
      `${toShared(512, 32)}
      mad.lo.s32 %r8, %lane, 16, %r1;
      ldmatrix.sync.aligned.m8n8.x4${transposed}.shared.b16 {%r3, %r4, %r5, %r6}, [%r8];
      mad.wide.u32 %d1, %lane, 12, %own;
      st.global.v4.u32 [%d1], {%r3, %r4, %r5, %r6};`,
      { shared: 512, words: 128, first: Array.from({ length: 128 }, (_, i) => 2 * i + (2 * i + 1) * 65536) },
    );
    const numberOf = (matrix: number, row: number, column: number) =>
      64 * matrix + (transposed ? 8 * column + row : 8 * row + column);
    const expected = lanes.flatMap((lane) =>
      [0, 1, 2, 3].flatMap((matrix) => [0, 1].map((which) => numberOf(matrix, lane >> 2, 2 * (lane % 4) + which))),
    );
    expect(numbersOf(words)).toEqual(expected);
  });

  const bf16 = (value: number) => bitsOf(value) >>> 16;
  const packed = (values: readonly number[]) =>
    Array.from(
      { length: values.length / 2 },
      (_, i) => bf16(values[2 * i] ?? 0) + bf16(values[2 * i + 1] ?? 0) * 65536,
    );
  /** Small whole numbers, of which all products are exact. */
  const matrixOf = (rows: number, columns: number, seed: number) =>
    Array.from({ length: rows }, (_, i) =>
      Array.from({ length: columns }, (__, j) => ((i * 7 + j * 3 + seed) % 11) - 5),
    );
  const productOf = (a: number[][], b: number[][], row: number, column: number) =>
    (a[row] ?? []).reduce((sum, value, k) => sum + value * (b[column]?.[k] ?? Number.NaN), 0);

  it('multiplies matrices of bf16 by a warp', () => {
    const [a, b] = [matrixOf(16, 16, 1), matrixOf(8, 16, 2)];
    const words = wordsOf(
      `${toShared(768, 32)}
      and.b32 %r8, %lane, 15;
      shr.u32 %r9, %lane, 4;
      mad.lo.s32 %r8, %r8, 32, %r1;
      mad.lo.s32 %r8, %r9, 16, %r8;
      ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r10, %r11, %r12, %r13}, [%r8];
      and.b32 %r8, %lane, 7;
      shr.u32 %r9, %lane, 3;
      and.b32 %r9, %r9, 1;
      mad.lo.s32 %r8, %r8, 32, %r1;
      mad.lo.s32 %r8, %r9, 16, %r8;
      ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r14, %r15}, [%r8+512];
      mov.f32 %f5, 0f3F800000;
      mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1,%f2,%f3,%f4}, {%r10,%r11,%r12,%r13}, {%r14,%r15}, {%f5,%f5,%f5,%f5};
      mad.wide.u32 %d1, %lane, 12, %own;
      st.global.v4.f32 [%d1], {%f1,%f2,%f3,%f4};`,
      { shared: 768, words: 192, first: packed([...a.flat(), ...b.flat()]) },
    );
    const expected = lanes.flatMap((lane) =>
      [0, 1, 2, 3].map((i) => 1 + productOf(a, b, (lane >> 2) + (i >> 1) * 8, 2 * (lane % 4) + (i % 2))),
    );
    expect(words.slice(0, 128).map(floatOf)).toEqual(expected);
  });

  /** A [64, 16] in registers by B [8, 16], whose two halves of k lie behind each other without a swizzle. */
  const groupProduct = (end: string) => {
    const b = matrixOf(8, 16, 4);
    const halves = [0, 8].flatMap((from) => b.flatMap((row) => row.slice(from, from + 8)));
    const words = wordsOf(
      `${toShared(256, 128)}
      cvt.rn.f32.u32 %f5, %lane;
      cvt.rn.bf16x2.f32 %r8, %f5, %f5;
      mov.u32 %r9, 0;
      shr.u32 %r10, %r1, 4;
      cvt.u64.u32 %d2, %r10;
      or.b64 %d2, %d2, ${String((128 >> 4) * 65536 + (128 >> 4) * 2 ** 32)};
      mov.f32 %f1, 0f3F800000;
      mov.f32 %f2, %f1;
      mov.f32 %f3, %f1;
      mov.f32 %f4, %f1;
      setp.eq.u32 %p2, %r9, 0;
      wgmma.fence.sync.aligned;
      wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f1,%f2,%f3,%f4}, {%r8,%r9,%r9,%r8}, %d2, %p2, 1, 1, 0;
      wgmma.commit_group.sync.aligned;
      ${end}
      mad.wide.u32 %d1, %thread, 12, %own;
      st.global.v4.f32 [%d1], {%f1,%f2,%f3,%f4};`,
      { threads: 128, shared: 256, words: 512, first: packed(halves) },
    );
    return { b, sums: words.map(floatOf) };
  };

  it('multiplies by a warpgroup, and adds, when that is waited for', () => {
    const { b, sums } = groupProduct('wgmma.wait_group.sync.aligned 0;');
    const expected = Array.from({ length: 128 }, (_, thread) => {
      const lane = thread % 32;
      const group = lane >> 2;
      // Rows g have k < 8 from the lanes of their group, rows g + 8 have k ≥ 8.
      const ofRow = (isLower: boolean, column: number) =>
        Array.from({ length: 8 }, (__, k) => (4 * group + (k >> 1)) * (b[column]?.[k + (isLower ? 8 : 0)] ?? 0));
      return [0, 1, 2, 3].map((i) => ofRow(i > 1, 2 * (lane % 4) + (i % 2)).reduce((sum, each) => sum + each, 1));
    }).flat();
    expect(sums).toEqual(expected);
  });

  it('has NaN in the sums of products that nobody waited for', () => {
    expect(new Set(groupProduct('').sums)).toEqual(new Set([Number.NaN]));
    expect(new Set(groupProduct('wgmma.wait_group.sync.aligned 1;').sums)).toEqual(new Set([Number.NaN]));
  });
});
