import { BackendError } from '@vwn/core';
import type { NativeBlock, NativeLibrary } from './native-library';

export interface PoolStatistics {
  /** Bytes that tensors hold, in the sizes that they asked for. */
  readonly bytesInUse: number;
  /** The most that {@link bytesInUse} has been. */
  readonly highWaterBytes: number;
  /** Bytes that the pool has from the system: in use, kept for reuse, and lost to rounding. */
  readonly reservedBytes: number;
}

/** A block that a tensor holds. */
export interface PoolBlock extends NativeBlock {
  /** What was asked for; the block itself may be larger. */
  readonly bytes: number;
}

/**
 * A caching allocator: blocks go back on a list of their size and are handed out again, so that a training step, whose
 * shapes repeat, asks the system for nothing. Sizes are rounded up by an eighth at most, so that lists stay few.
 */
export class MemoryPool {
  private readonly free = new Map<number, NativeBlock[]>();
  private readonly owned = new WeakSet<ArrayBufferLike>();
  private inUse = 0;
  private highWater = 0;
  private reserved = 0;

  constructor(private readonly library: Pick<NativeLibrary, 'allocate' | 'read' | 'write'>) {}

  /** The block's bytes: the memory itself, or, of a device's, a copy. */
  bytesOf(block: PoolBlock): ArrayBuffer {
    if (!this.library.read) return block.buffer;
    const copy = new Uint8Array(block.bytes);
    this.library.read(block.address, copy);
    return copy.buffer;
  }

  /** Makes the block hold `bytes`, where these are a copy. */
  store(block: PoolBlock, bytes: ArrayBuffer): void {
    if (bytes !== block.buffer) this.library.write?.(block.address, new Uint8Array(bytes, 0, block.bytes));
  }

  /** Memory in which to prepare what {@link store} is to give to the block. */
  staging(block: PoolBlock): ArrayBuffer {
    return this.library.write ? new ArrayBuffer(block.bytes) : block.buffer;
  }

  /** @throws BackendError when the system has no memory left, even after giving back what is kept */
  allocate(bytes: number): PoolBlock {
    const size = sizeClass(bytes);
    const block = this.free.get(size)?.pop() ?? this.reserve(size);
    this.inUse += bytes;
    if (this.inUse > this.highWater) this.highWater = this.inUse;
    return { buffer: block.buffer, address: block.address, bytes };
  }

  release({ buffer, address, bytes }: PoolBlock): void {
    const size = sizeClass(bytes);
    const list = this.free.get(size);
    if (list) list.push({ buffer, address });
    else this.free.set(size, [{ buffer, address }]);
    this.inUse -= bytes;
  }

  /** Whether an array lies in a block of this pool, whose content changes once the tensor is gone. */
  owns(buffer: ArrayBufferLike): boolean {
    return this.owned.has(buffer);
  }

  /** Gives every block that no tensor holds back to the system (when its buffer is collected). */
  trim(): void {
    for (const [size, list] of this.free) this.reserved -= size * list.length;
    this.free.clear();
  }

  /** Starts the high-water mark again from what is in use now. */
  resetHighWater(): void {
    this.highWater = this.inUse;
  }

  statistics(): PoolStatistics {
    return { bytesInUse: this.inUse, highWaterBytes: this.highWater, reservedBytes: this.reserved };
  }

  private reserve(size: number): NativeBlock {
    let block = this.library.allocate(size);
    if (!block) {
      this.trim();
      block = this.library.allocate(size);
    }
    if (!block)
      throw new BackendError(`no memory for a tensor of ${size} bytes`, {
        got: `${this.inUse} bytes are in use by tensors`,
        hint: 'Use a smaller batch or sequence, or precision bf16, or dispose of tensors (tf.tidy)',
      });
    this.owned.add(block.buffer);
    this.reserved += size;
    return block;
  }
}

/** The next of 8 steps between two powers of two, 64 bytes at least. */
export function sizeClass(bytes: number): number {
  if (bytes <= 64) return 64;
  // The logarithm in integers takes a tenth of the time, and steps of training ask for it hundreds of times.
  const exponent = bytes <= 2 ** 32 ? 31 - Math.clz32(bytes - 1) : Math.floor(Math.log2(bytes - 1));
  const step = Math.max(64, 2 ** (exponent - 3));
  return Math.ceil(bytes / step) * step;
}
