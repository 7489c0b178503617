import { constants } from 'node:buffer';
import { BackendError } from '@vwn/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemoryPool, sizeClass, type PoolBlock } from '../src/index';
import { FakeDeviceLedger, FakeLedger, FakeSystem } from './support/fake-library';

const bytes = fc.oneof(fc.nat(5000), fc.integer({ min: 0, max: 2 ** 31 }), fc.maxSafeInteger().map(Math.abs));

describe('a size class', () => {
  it('holds what was asked for, and wastes at most an eighth and 64 bytes', () =>
    fc.assert(
      fc.property(bytes, (asked) => {
        const size = sizeClass(asked);
        expect(size).toBeGreaterThanOrEqual(asked);
        expect(size - asked).toBeLessThanOrEqual(asked / 8 + 64);
      }),
      { numRuns: 2000 },
    ));

  it('is its own class, and a whole number of 64-byte lines', () =>
    fc.assert(
      fc.property(bytes, (asked) => {
        const size = sizeClass(asked);
        expect(sizeClass(size)).toBe(size);
        expect(size % 64).toBe(0);
      }),
      { numRuns: 2000 },
    ));

  it('never shrinks when more is asked for', () =>
    fc.assert(
      fc.property(bytes, bytes, (a, b) => sizeClass(Math.min(a, b)) <= sizeClass(Math.max(a, b))),
      { numRuns: 2000 },
    ));

  it('comes in 8 sizes between two powers of two, so that lists of free blocks stay few', () => {
    const classes = new Set(Array.from({ length: 4096 }, (_, i) => sizeClass(4097 + i)));
    expect([...classes]).toEqual([4608, 5120, 5632, 6144, 6656, 7168, 7680, 8192]);
  });
});

describe('the pool', () => {
  it('hands a released block out again to the next one of its class, and asks the system for nothing', () => {
    const system = new FakeSystem();
    const pool = new MemoryPool(system);
    const first = pool.allocate(1000);
    pool.release(first);
    const again = pool.allocate(961);
    expect([again.address, again.buffer]).toEqual([first.address, first.buffer]);
    expect(again.bytes).toBe(961);
    expect(system.asked).toEqual([1024]);
  });

  it('never has one block with two holders', () =>
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(4000)), { maxLength: 60 }), (steps) => {
        const pool = new MemoryPool(new FakeSystem());
        const held = [pool.allocate(1)];
        for (const [releases, size] of steps) {
          const oldest = releases ? held.shift() : undefined;
          if (oldest) pool.release(oldest);
          else held.push(pool.allocate(size));
        }
        expect(new Set(held.map(({ address }) => address)).size).toBe(held.length);
        for (const block of held) expect(block.buffer.byteLength).toBeGreaterThanOrEqual(block.bytes);
        expect(pool.statistics().bytesInUse).toBe(held.reduce((sum, each) => sum + each.bytes, 0));
      }),
      { numRuns: 300 },
    ));

  it('gives no block to a class that it is too small or too large for', () => {
    const pool = new MemoryPool(new FakeSystem());
    const block = pool.allocate(1024);
    pool.release(block);
    expect(pool.allocate(1025).address).not.toBe(block.address);
    expect(pool.allocate(100).address).not.toBe(block.address);
    expect(pool.allocate(1024).address).toBe(block.address);
  });

  it('counts bytes in use as asked for, bytes reserved as rounded, and keeps the high-water mark', () => {
    const pool = new MemoryPool(new FakeSystem());
    const [a, b] = [pool.allocate(100), pool.allocate(1000)];
    pool.release(a);
    expect(pool.statistics()).toEqual({ bytesInUse: 1000, highWaterBytes: 1100, reservedBytes: 128 + 1024 });
    pool.resetHighWater();
    expect(pool.statistics().highWaterBytes).toBe(1000);
    pool.release(b);
    expect(pool.statistics()).toEqual({ bytesInUse: 0, highWaterBytes: 1000, reservedBytes: 128 + 1024 });
  });

  it('forgets the blocks that nothing holds when trimmed, and only those', () => {
    const system = new FakeSystem();
    const pool = new MemoryPool(system);
    const [kept, free] = [pool.allocate(128), pool.allocate(128)];
    pool.release(free);
    expect(pool.trim()).toBe(true);
    expect(pool.trim()).toBe(false);
    expect(system.freed).toEqual([128]);
    expect(pool.statistics().reservedBytes).toBe(128);
    const next = pool.allocate(128);
    expect([kept.address, free.address]).not.toContain(next.address);
    expect(system.asked).toHaveLength(3);
  });

  it('gives back what it keeps before it says that the system has none, and asks once more', () => {
    const system = new FakeSystem(4096);
    const pool = new MemoryPool(system);
    pool.release(pool.allocate(4096));
    const block = pool.allocate(2048);
    expect(system.asked).toEqual([4096, 2048, 2048]);
    expect(system.freed).toEqual([4096]);
    expect(block.buffer.byteLength).toBe(2048);
    expect(pool.statistics()).toEqual({ bytesInUse: 2048, highWaterBytes: 4096, reservedBytes: 2048 });
  });

  it('keeps no more than twice what tensors have held at once, or its share, when it asks for more', () => {
    const mebibytes = fc.integer({ min: 1, max: 600 }).map((size) => size * 2 ** 20);
    const share = 256 * 2 ** 20;
    fc.assert(
      fc.property(fc.array(fc.tuple(mebibytes, fc.boolean()), { maxLength: 40 }), (steps) => {
        const pool = new MemoryPool(new FakeLedger(), share);
        const held = [];
        for (const [size, isKept] of steps) {
          const block = pool.allocate(size);
          if (isKept) held.push(block);
          else pool.release(block);
          if (held.length > 3) pool.release(held.shift() as PoolBlock);
        }
        pool.allocate(64);
        const { bytesInUse, highWaterBytes, reservedBytes } = pool.statistics();
        // Blocks in use are larger than what was asked for by an eighth at most.
        expect(reservedBytes - bytesInUse).toBeLessThanOrEqual(
          Math.max(2 * highWaterBytes, share) + bytesInUse / 8 + 64,
        );
      }),
      { numRuns: 300 },
    );
  });

  const units = (...sizes: number[]) => sizes.map((size) => size * 2 ** 27);
  const step = (pool: MemoryPool, sizes: number[]) =>
    sizes.map((size) => pool.allocate(size)).forEach((block) => pool.release(block));

  it('asks for nothing while three shapes take turns, also once the high-water mark has begun anew', () => {
    const system = new FakeLedger();
    const pool = new MemoryPool(system, 0);
    const shapes = [units(1, 2, 3), units(1.25, 2.5, 3.5), units(0.75, 1.75, 2.75)];
    for (const shape of shapes) step(pool, shape);
    pool.resetHighWater();
    const asked = system.asked.length;
    for (let turn = 0; turn < 30; turn++) step(pool, shapes[turn % 3] as number[]);
    expect(system.asked).toHaveLength(asked);
    expect(system.freed).toEqual([]);
  });

  it('gives those sizes back first that were of use longest ago, and none of a device', () => {
    for (const [system, freed] of [
      [new FakeLedger(), units(1, 2, 3)],
      [new FakeDeviceLedger(), []],
    ] as const) {
      const pool = new MemoryPool(system, units(10)[0]);
      step(pool, units(1, 2, 3));
      for (const size of units(4, 5, 3.5)) step(pool, [size]);
      step(pool, units(1.5));
      expect(system.freed.slice(0, 3)).toEqual(freed);
    }
  });

  it('refuses a tensor that no buffer can hold, and says how large one may be', () => {
    const pool = new MemoryPool({ ...new FakeSystem(), allocate: () => expect.fail('was asked for') } as never);
    const error = caught(() => pool.allocate(constants.MAX_LENGTH + 1));
    expect(error).toBeInstanceOf(BackendError);
    expect(error.message).toContain(`expected at most ${constants.MAX_LENGTH} bytes`);
    expect(error.message).toContain('Compute it in parts');
  });

  it('says how much was wanted, how much is in use and what to do when there is no memory', () => {
    const pool = new MemoryPool(new FakeSystem(1024));
    const held = pool.allocate(1000);
    const error = caught(() => pool.allocate(5000));
    expect(error).toBeInstanceOf(BackendError);
    expect(error.message).toContain('no memory for a tensor of 5120 bytes');
    expect(error.message).toContain('1000 bytes are in use');
    expect(error.message).toContain('Use a smaller batch');
    expect(pool.statistics()).toMatchObject({ bytesInUse: 1000, reservedBytes: 1024 });
    pool.release(held);
    expect(pool.allocate(1000).address).toBe(held.address);
  });

  it('knows the buffers of its own blocks, held or free, from any other', () => {
    const pool = new MemoryPool(new FakeSystem());
    const block = pool.allocate(64);
    expect(pool.owns(block.buffer)).toBe(true);
    pool.release(block);
    expect(pool.owns(block.buffer)).toBe(true);
    expect(pool.owns(new ArrayBuffer(64))).toBe(false);
    expect(new MemoryPool(new FakeSystem()).owns(block.buffer)).toBe(false);
  });
});

function caught(run: () => unknown): Error {
  try {
    run();
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
}

describe('an arena', () => {
  const freed = (pool: MemoryPool, bytes: number) => {
    const block = pool.allocate(bytes);
    pool.release(block);
    return block.address;
  };

  it('hands its blocks out again while it is current, and to nobody after that', () => {
    const pool = new MemoryPool(new FakeSystem());
    const arena = pool.beginArena();
    const address = freed(pool, 100);
    expect(freed(pool, 100)).toBe(address);
    pool.endArena(arena);
    expect(pool.allocate(100).address).not.toBe(address);
    pool.closeArena(arena);
    expect(pool.allocate(100).address).toBe(address);
  });

  it('takes back what is released after its capture, until it is closed', () => {
    const pool = new MemoryPool(new FakeSystem());
    const arena = pool.beginArena();
    const [early, late] = [pool.allocate(100), pool.allocate(100)];
    pool.endArena(arena);
    pool.release(early);
    expect(pool.allocate(100).address).not.toBe(early.address);
    pool.closeArena(arena);
    expect(pool.allocate(100).address).toBe(early.address);
    pool.release(late);
    expect(pool.allocate(100).address).toBe(late.address);
  });

  it('gives constants a block that nothing else in the capture has or gets', () =>
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 40 }), (constants) => {
        const pool = new MemoryPool(new FakeSystem());
        pool.release(pool.allocate(100));
        const arena = pool.beginArena();
        const used = { true: [] as number[], false: [] as number[] };
        for (const isConstant of constants) {
          const block = pool.allocate(100, { isConstant });
          used[`${isConstant}`].push(block.address);
          pool.release(block);
        }
        pool.endArena(arena);
        expect(new Set(used.true).size).toBe(used.true.length);
        for (const address of used.true) expect(used.false).not.toContain(address);
      }),
    ));

  it('is closed, its memory given back, where the system has none left for others', () => {
    const system = new FakeSystem(1000);
    const pool = new MemoryPool(system);
    const arena = pool.beginArena();
    freed(pool, 640);
    pool.endArena(arena);
    expect(arena.isOpen).toBe(true);
    expect(pool.allocate(512).bytes).toBe(512);
    expect(arena.isOpen).toBe(false);
    expect(system.freed).toEqual([640]);
  });

  it('counts in the high-water mark, at a replay, what its kernels hold at the most', () => {
    const pool = new MemoryPool(new FakeSystem());
    const before = pool.allocate(1000);
    const arena = pool.beginArena();
    const [result, intermediate] = [pool.allocate(200), pool.allocate(3000)];
    pool.release(intermediate);
    pool.endArena(arena);
    expect(pool.statistics()).toMatchObject({ bytesInUse: 1200, highWaterBytes: 4200 });
    pool.resetHighWater();
    pool.countReplay(arena);
    expect(pool.statistics()).toMatchObject({ bytesInUse: 1200, highWaterBytes: 4200 });
    pool.release(before);
    pool.release(result);
    expect(pool.statistics().bytesInUse).toBe(0);
  });
});
