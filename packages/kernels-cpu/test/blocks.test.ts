import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { NativeBlock } from '@vwn/kernels';
import { loadLibrary } from '@vwn/kernels-cpu';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { describeNative } from './support/native';

const allocate = (bytes: number) => loadLibrary().allocate(bytes) as NativeBlock;

/** Finalizers, which give memory back, run after a collection and a turn of the event loop. */
async function collect(): Promise<void> {
  setFlagsFromString('--expose-gc');
  for (let i = 0; i < 3; i++) {
    (runInNewContext('gc') as () => void)();
    await setImmediate();
  }
}

describeNative('blocks of any size', () => {
  it('begin at 64 bytes and share none with others', () => {
    const bytes = fc.oneof(fc.integer({ min: 1, max: 70_000 }), fc.integer({ min: 70_000, max: 5 << 20 }));
    fc.assert(
      fc.property(fc.array(bytes, { minLength: 1, maxLength: 12 }), (sizes) => {
        const blocks = sizes.map(allocate);
        blocks.forEach(({ buffer }, i) => new Uint8Array(buffer).fill(i + 1));
        blocks.forEach(({ buffer, address }, i) => {
          expect(address % 64).toBe(0);
          expect(buffer.byteLength).toBe(sizes[i]);
          expect(new Uint8Array(buffer).every((byte) => byte === i + 1)).toBe(true);
        });
      }),
      { numRuns: 30 },
    );
  });

  it('go back when their buffers are collected, and their memory is handed out again', async () => {
    const kept: NativeBlock[] = [];
    const fill = async () => {
      for (let i = 0; i < 200; i++) {
        const block = allocate(100_000 + i);
        new Uint8Array(block.buffer).fill(1);
        if (i === 100) kept.push(block);
      }
      await collect();
    };
    await fill();
    const before = process.memoryUsage.rss();
    for (let round = 0; round < 20; round++) await fill();
    expect(process.memoryUsage.rss() - before).toBeLessThan(60 << 20); // of 400 MiB
    expect(kept.every(({ buffer }) => new Uint8Array(buffer).every((byte) => byte === 1))).toBe(true);
  });

  it('go back at once when they are freed, whoever still has the buffer, which is empty then', () => {
    const library = loadLibrary();
    const size = 100 << 20;
    const before = process.memoryUsage.rss();
    const buffers = [];
    for (let i = 0; i < 20; i++) {
      const { buffer, address } = allocate(size);
      const bytes = new Uint8Array(buffer).fill(1);
      library.free(buffer, address);
      expect([buffer.byteLength, bytes.length, bytes[0]]).toEqual([0, 0, undefined]);
      buffers.push(buffer);
    }
    expect(process.memoryUsage.rss() - before).toBeLessThan(2 * size);
  });

  it('go back once: freed, and freed or collected after that, they harm none that came to stand in their place', async () => {
    const library = loadLibrary();
    const blocks = Array.from({ length: 50 }, () => allocate(100_000));
    for (const { buffer, address } of blocks) library.free(buffer, address);
    const [first] = blocks as [NativeBlock];
    expect(() => library.free(first.buffer, first.address)).toThrow('no block has this buffer and address');
    blocks.length = 0;
    const next = Array.from({ length: 50 }, () => allocate(100_000));
    next.forEach(({ buffer }, i) => new Uint8Array(buffer).fill(i));
    await collect();
    const others = Array.from({ length: 50 }, () => allocate(100_000));
    for (const { buffer } of others) new Uint8Array(buffer).fill(255);
    next.forEach(({ buffer }, i) => expect(new Uint8Array(buffer).every((byte) => byte === i)).toBe(true));
  });

  it('are not freed by a buffer or an address that is no block’s own', () => {
    const library = loadLibrary();
    const [a, b] = [allocate(64), allocate(64)];
    const wrong = 'no block has this buffer and address';
    expect(() => library.free(a.buffer, b.address)).toThrow(wrong);
    expect(() => library.free(new ArrayBuffer(64), a.address)).toThrow(wrong);
    for (const address of [0, -1, NaN, 2 ** 60])
      expect(() => library.free(a.buffer, address)).toThrow('a block’s buffer and address are needed');
    expect(() => (library.free as (buffer: ArrayBuffer) => void)(a.buffer)).toThrow('are needed');
    expect(a.buffer.byteLength).toBe(64);
  });
});
