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
});
