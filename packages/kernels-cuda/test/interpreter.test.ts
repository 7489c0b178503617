/** What reads kernels' PTX must do what the PTX ISA says, and find what a GPU would do wrong silently. */
import { describe, expect, it } from 'vitest';
import { floatOf, inHex, lanes, outputOf, wordsOf } from './support/ptx';

describe('the interpreter of PTX', () => {
  it('divides a warp at a branch, loops as often as each lane says, and has it together again', () => {
    const words = wordsOf(`
      mov.u32 %r1, 0;
      mov.u32 %r2, 0;
    $again:
      setp.ge.u32 %p1, %r1, %thread;
      @%p1 bra $done;
      add.s32 %r2, %r2, %r1;
      add.s32 %r1, %r1, 1;
      bra.uni $again;
    $done:
      shfl.sync.bfly.b32 %r3|%p2, %r2, 1, 31, -1;
      st.global.u32 [%own], %r3;`);
    expect(words).toEqual(lanes.map((lane) => ((lane ^ 1) * Math.max(0, (lane ^ 1) - 1)) / 2));
  });

  it('does under a predicate what it guards, and nothing in the other lanes', () => {
    const words = wordsOf(`
      and.b32 %r1, %thread, 1;
      setp.eq.u32 %p1, %r1, 0;
      @%p1 st.global.u32 [%own], 99;
      @!%p1 st.global.u32 [%own], 7;`);
    expect(words).toEqual(lanes.map((lane) => (lane % 2 ? 7 : 99)));
  });

  it.each([
    ['up', (lane: number) => (lane % 8 < 3 ? lane : lane - 3), 3, 0x1800],
    ['down', (lane: number) => (lane % 8 > 4 ? lane : lane + 3), 3, 0x181f],
    ['idx', (lane: number) => lane - (lane % 8) + 3, 3, 0x181f],
    ['bfly', (lane: number) => lane ^ 3, 3, 0x181f],
  ])('shuffles by %s in parts of eight lanes', (how, source, by, clamp) => {
    const words = wordsOf(`
      shfl.sync.${how}.b32 %r1, %thread, ${String(by)}, ${String(clamp)}, -1;
      st.global.u32 [%own], %r1;`);
    expect(words).toEqual(lanes.map(source));
  });

  it('adds each lane’s numbers to those in memory, lanes of one address one after another', () => {
    const words = wordsOf(`
      st.global.f32 [%own], 0f3F800000;
      cvt.rn.f32.u32 %f1, %thread;
      and.b32 %r1, %thread, 3;
      mul.wide.u32 %d1, %r1, 16;
      add.s64 %d1, %d1, %buffer;
      mov.f32 %f2, 0f00000000;
      mov.f32 %f3, 0f40000000;
      red.relaxed.gpu.global.add.v4.f32 [%d1], {%f1, %f1, %f2, %f3};`);
    expect(words.map(floatOf).slice(0, 5)).toEqual([113, 113, 1, 17, 121]);
  });

  it.each([
    ['add.s32 %r1, %thread, -1', (x: number) => (x - 1) >>> 0],
    ['mul.hi.s32 %r1, %thread, -2147483648', (x: number) => (x === 0 ? 0 : -Math.ceil(x / 2) >>> 0)],
    ['mad.lo.s32 %r1, %thread, %thread, 5', (x: number) => x * x + 5],
    ['shr.s32 %r1, -64, %thread', (x: number) => (-64 >> x) >>> 0],
    ['shl.b32 %r1, %thread, 40', () => 0],
    ['div.u32 %r1, 1000, %thread', (x: number) => (x === 0 ? 0xffffffff : Math.floor(1000 / x))],
    ['popc.b32 %r1, %thread', (x: number) => x.toString(2).replaceAll('0', '').length],
    ['bfi.b32 %r1, %thread, -1, 4, 8', (x: number) => (0xfffff00f | (x << 4)) >>> 0],
  ])('computes %s', (instruction, expected) => {
    expect(wordsOf(`${instruction};\nst.global.u32 [%own], %r1;`)).toEqual(lanes.map(expected));
  });

  it.each([
    ['fma.rn.f32 %f2, %f1, %f1, 0f3F800000', (x: number) => Math.fround(x * x + 1)],
    ['fma.rm.f32 %f2, %f1, 0f3DCCCCCD, 0f4B400000', (x: number) => 12582912 + Math.floor(x * Math.fround(0.1))],
    ['ex2.approx.ftz.f32 %f2, %f1', (x: number) => 2 ** x],
    ['cvt.sat.f32.f32 %f2, %f1', (x: number) => Math.min(1, x)],
    ['copysign.f32 %f2, 0fBF800000, %f1', (x: number) => -x],
    ['max.f32 %f2, %f1, 0f7FC00000', (x: number) => x],
    ['rcp.rn.f32 %f2, %f1', (x: number) => Math.fround(1 / x)],
  ])('computes %s', (instruction, expected) => {
    const words = wordsOf(`cvt.rn.f32.u32 %f1, %thread;\n${instruction};\nst.global.f32 [%own], %f2;`);
    expect(words.map(floatOf)).toEqual(lanes.map(expected));
  });

  it('rounds to bf16 to the nearest, ties to even, the first operand above the second', () => {
    const pairOf = (a: number, b: number) =>
      wordsOf(`cvt.rn.bf16x2.f32 %r1, ${inHex(a)}, ${inHex(b)};\nst.global.u32 [%own], %r1;`)[0];
    expect(pairOf(1, 2)).toBe(0x3f804000);
    expect(pairOf(1 + 2 ** -8, 1 + 3 * 2 ** -8)).toBe(0x3f803f82);
    expect(pairOf(Number.NaN, -0)).toBe(0x7fff8000);
  });

  it('extends signs, splits and joins registers, and takes part of a wider one', () => {
    const words = wordsOf(`
      st.global.u16 [%own], 65534;
      ld.global.s16 %r1, [%own];
      mov.b32 {%h1, %h2}, %r1;
      cvt.u32.u16 %r2, %h1;
      mov.b64 %d1, {%r2, %r1};
      shr.u64 %d1, %d1, 16;
      cvt.u32.u16 %r3, %d1;
      cvt.u32.u64 %r4, %d1;
      setp.eq.u32 %p1, %thread, 0;
      setp.eq.u32 %p2, %thread, 1;
      @%p1 st.global.u32 [%own], %r3;
      @%p2 st.global.u32 [%own], %r4;`);
    expect(words.slice(0, 2)).toEqual([0, 0xfffe0000]);
  });

  it('calls functions, with memory of each thread for arguments and results, and carries from word to word', () => {
    const words = wordsOf(
      `
      {
      .param .b64 argument;
      .param .align 8 .b8 result[16];
      cvt.u64.u32 %d1, %thread;
      add.s64 %d1, %d1, 4294967290;
      st.param.b64 [argument+0], %d1;
      call.uni (result), twice, (argument);
      ld.param.b64 %d2, [result+8];
      }
      shr.u64 %d2, %d2, 32;
      cvt.u32.u64 %r1, %d2;
      st.global.u32 [%own], %r1;`,
      {
        before: `.func (.param .align 8 .b8 out[16]) twice(.param .b64 in)
{
  .local .align 8 .b8 room[8];
  .reg .b64 %x<4>;
  .reg .b32 %w<6>;
  ld.param.b64 %x1, [in];
  mov.u64 %x2, room;
  cvta.local.u64 %x2, %x2;
  st.u64 [%x2], %x1;
  ld.local.v2.u32 {%w1, %w2}, [room];
  add.cc.u32 %w3, %w1, %w1;
  addc.u32 %w4, %w2, %w2;
  mov.b64 %x3, {%w3, %w4};
  st.param.b64 [out+8], %x3;
  ret;
}`,
      },
    );
    expect(words).toEqual(lanes.map((lane) => (lane < 6 ? 1 : 2)));
  });

  it('has all warps of a block meet at a barrier, whichever runs first', () => {
    const body = (barrier: string) => `
      mul.lo.s32 %r1, %thread, 4;
      mov.u32 %r2, memory;
      add.s32 %r3, %r2, %r1;
      st.shared.u32 [%r3], %thread;
      ${barrier}
      sub.s32 %r4, 252, %r1;
      add.s32 %r4, %r2, %r4;
      ld.shared.u32 %r5, [%r4];
      st.global.u32 [%own], %r5;`;
    const launch = { threads: 64, shared: 256, words: 64 };
    expect(wordsOf(body('bar.sync 0;'), launch)).toEqual(Array.from({ length: 64 }, (_, i) => 63 - i));
    expect(wordsOf(body(''), launch)).toContain(0xffffffff);
  });

  it.each([
    [
      'an address outside of what is allocated',
      'ld.global.u32 %r1, [%own+4];',
      /lane 31 touches 4 bytes at 0x\w+ of global memory, which is not allocated/,
    ],
    ['an address that is not aligned', 'ld.global.v2.u32 {%r1, %r2}, [%own];', /lane 1 touches 8 bytes .* not aligned/],
    [
      'shared memory that the block has not',
      'ld.shared.u32 %r1, [memory];',
      /of shared memory, where the block has 0 from 0x400 on/,
    ],
    [
      'a barrier that a warp leaves out',
      'setp.lt.u32 %p1, %thread, 32;\n@%p1 bar.sync 0;',
      /all threads wait, and nothing will come; block 0, warp 0, at line \d+ \(bar\.sync\)/,
    ],
    [
      'a shuffle of lanes that have ended',
      'setp.lt.u32 %p1, %lane, 9;\n@%p1 ret;\nshfl.sync.idx.b32 %r1, %thread, 0, 31, -1;',
      /waits for lanes that have ended/,
    ],
    [
      'products before their registers are settled',
      'wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f1,%f2,%f3,%f4}, {%r1,%r2,%r3,%r4}, %d1, 1, 1, 1, 0;',
      /no wgmma\.fence/,
    ],
    ['what it does not know', 'frobnicate.u32 %r1, %r2;', /line \d+, kernel: frobnicate\.u32 is not known here/],
    ['a register of another width', 'add.s32 %r1, %d1, %r2;', /add\.s32 has a register of another width: %d1/],
  ])('refuses %s, naming the place', (_, body, text) => {
    expect(outputOf(body, { threads: 64, words: 64 }).replace('lane 31 touches', 'lane 31 touches')).toMatch(text);
  });

  it('refuses launches that a GPU refuses', () => {
    expect(outputOf('', { threads: 64, directives: '.maxntid 32, 1, 1' })).toBe(
      'error 1: kernel is launched with a block of 64 threads, where it was compiled for 32',
    );
    expect(outputOf('', { shared: 300 << 10 })).toBe('error 1: more shared memory than a block may have');
    expect(outputOf('', { blocks: 3, directives: '.explicitcluster\n.reqnctapercluster 2, 1, 1' })).toBe(
      'error 1: kernel is launched with a grid that is not of whole clusters',
    );
    expect(outputOf('', { target: 'sm_100' })).toBe('error 209: an image that is no PTX for this GPU');
  });

  const copy = (end: string) => `
      mov.u32 %r1, memory;
      mul.lo.s32 %r2, %thread, 16;
      add.s32 %r3, %r1, %r2;
      mul.wide.u32 %d1, %r2, 1;
      add.s64 %d2, %buffer, %d1;
      setp.lt.u32 %p1, %thread, 16;
      selp.b32 %r4, 16, 4, %p1;
      cp.async.cg.shared.global [%r3], [%d2], 16, %r4;
      cp.async.commit_group;
      ${end}
      ld.shared.u32 %r5, [%r3+4];
      st.global.u32 [%own], %r5;`;
  it('makes copies when their group is waited for, zeros behind what they take, and not before', () => {
    const launch = { shared: 512, words: 128 };
    const expected = lanes.map((lane) => (lane < 16 ? 4 * lane + 1 : 0));
    expect(wordsOf(copy('cp.async.wait_group 0;'), launch).slice(0, 32)).toEqual(expected);
    expect(new Set(wordsOf(copy('cp.async.wait_group 1;'), launch).slice(0, 32))).toEqual(new Set([0xffffffff]));
  });

  it('lets blocks of a cluster write to each other, behind a barrier of both', () => {
    const words = wordsOf(
      `
      mov.u32 %r1, memory;
      mul.lo.s32 %r2, %thread, 4;
      add.s32 %r1, %r1, %r2;
      mov.u32 %r3, %cluster_ctarank;
      sub.s32 %r4, 1, %r3;
      mapa.shared::cluster.u32 %r5, %r1, %r4;
      mad.lo.s32 %r6, %r3, 100, %thread;
      st.shared::cluster.u32 [%r5], %r6;
      barrier.cluster.arrive.release.aligned;
      barrier.cluster.wait.acquire.aligned;
      ld.shared.u32 %r7, [%r1];
      mul.wide.u32 %d1, %r3, 128;
      add.s64 %own, %own, %d1;
      st.global.u32 [%own], %r7;`,
      { blocks: 2, shared: 128, words: 64, directives: '.explicitcluster\n.reqnctapercluster 2, 1, 1' },
    );
    expect(words).toEqual([...lanes.map((lane) => 100 + lane), ...lanes]);
  });
});
