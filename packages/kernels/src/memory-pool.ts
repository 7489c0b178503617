import { constants } from 'node:buffer';
import { totalmem } from 'node:os';
import { BackendError } from '@vwn/core';
import { Arena } from './arena';
import { BlockLists, sizeClass } from './block-lists';
import type { NativeBlock, NativeLibrary } from './native-library';
import { partsOf } from './native-text';

export interface PoolStatistics {
  /** Bytes that tensors hold, in the sizes that they asked for. */
  readonly bytesInUse: number;
  /** The most that {@link bytesInUse} has been. */
  readonly highWaterBytes: number;
  /** Bytes that the pool has from the system: in use, kept for reuse, and lost to rounding. */
  readonly reservedBytes: number;
}

export interface AllocateOptions {
  /** Written by JavaScript rather than by a kernel, which could write it again. */
  readonly isConstant?: boolean;
  /** Not of the capture under way, if one is. */
  readonly isOutside?: boolean;
}

/** A block that a tensor holds. */
export interface PoolBlock extends NativeBlock {
  /** What was asked for; the block itself may be larger. */
  readonly bytes: number;
  /** The capture that has the block for itself, if one has. */
  readonly arena: Arena | undefined;
  /** As {@link AllocateOptions.isConstant}. */
  readonly isConstant: boolean;
}

/** Of the memory that the process may have: so much may be kept, whatever tensors have held. */
const shareOfMemory = Math.min(totalmem(), process.constrainedMemory() || Infinity) / 8;

/**
 * A caching allocator: blocks go back on a list of their size and are handed out again, so that a training step, whose
 * shapes repeat, asks the system for nothing. Sizes are rounded up by an eighth at most, so that lists stay few. Where
 * shapes do not repeat, blocks of sizes that were of no use for longest go back: before it asks the system for more of the
 * memory that the process shares with others, the pool keeps at most twice what tensors have held at once, or an eighth of
 * that memory where this is more. So several shapes in turn have all their blocks. On a device, whose memory
 * is nobody else’s, all is kept until an allocation fails.
 */
export class MemoryPool {
  private readonly free = new BlockLists();
  private readonly owned = new WeakSet<ArrayBufferLike>();
  /** Of the capture under way. */
  private current: Arena | undefined;
  /** Of captures that can be replayed. */
  private readonly arenas = new Set<Arena>();
  private inUse = 0;
  private highWater = 0;
  /** As {@link highWater}, of all time. */
  private mostInUse = 0;
  private reserved = 0;

  /** @param share bytes that may be kept whatever tensors have held */
  constructor(
    private readonly library: Pick<NativeLibrary, 'allocate' | 'free' | 'read' | 'write'>,
    private readonly share = shareOfMemory,
  ) {}

  /**
   * The block's bytes: the memory itself, or, of a device's, a copy.
   * @throws BackendError where a device that works behind its calls tells only now that one failed
   */
  bytesOf(block: PoolBlock): ArrayBuffer {
    if (!this.library.read) return block.buffer;
    const copy = new Uint8Array(block.bytes);
    try {
      this.library.read(block.address, copy);
    } catch (cause) {
      const text = cause instanceof Error ? cause.message : String(cause);
      throw new BackendError('a kernel failed before its results were read', { ...partsOf(text), cause });
    }
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

  /**
   * @throws BackendError when the system has no memory left, even after giving back what is kept; where no buffer may be
   * that large
   */
  allocate(bytes: number, { isConstant = false, isOutside = false }: AllocateOptions = {}): PoolBlock {
    const size = sizeClass(bytes);
    const arena = isOutside ? undefined : this.current;
    // A constant's block must be one that no kernel of the capture has written: a replay would write it again.
    const again = isConstant ? undefined : arena?.take(size);
    const { buffer, address } = again ?? this.free.take(size) ?? this.reserve(size);
    this.inUse += bytes;
    this.noteUse(this.inUse);
    if (arena && this.inUse > arena.mostInUse) arena.mostInUse = this.inUse;
    return { buffer, address, bytes, arena, isConstant };
  }

  release({ buffer, address, bytes, arena, isConstant }: PoolBlock): void {
    const size = sizeClass(bytes);
    if (arena?.isOpen) arena.put(size, { buffer, address }, isConstant);
    else this.free.put(size, { buffer, address });
    this.inUse -= bytes;
  }

  /** JavaScript reads or replaces what stands in a block. */
  noteAccess(): void {
    if (this.current) this.current.isAccessed = true;
  }

  /** Whether an array lies in a block of this pool, whose content changes once the tensor is gone. */
  owns(buffer: ArrayBufferLike): boolean {
    return this.owned.has(buffer);
  }

  /** Until {@link endArena}, all blocks are the arena's own: they go back to it, and to nobody else while it is open. */
  beginArena(): Arena {
    this.current = new Arena(this.inUse);
    return this.current;
  }

  endArena(arena: Arena): void {
    this.current = undefined;
    arena.mostInUse -= this.inUse;
    this.arenas.add(arena);
  }

  /** Gives the arena's blocks back to everybody: what was captured in it can't be replayed any more. */
  closeArena(arena: Arena): void {
    this.arenas.delete(arena);
    arena.close((size, block) => this.free.put(size, block));
  }

  /** Counts what a replay holds between its first kernel and its last. */
  countReplay({ mostInUse }: Arena): void {
    this.noteUse(this.inUse + mostInUse);
  }

  /** Gives every block that no tensor holds back to the system. @returns whether there were any */
  trim(): boolean {
    const before = this.reserved;
    for (const arena of this.arenas) this.closeArena(arena);
    this.free.drain(this.giveBack);
    return this.reserved < before;
  }

  /** Starts the high-water mark again from what is in use now. */
  resetHighWater(): void {
    this.highWater = this.inUse;
  }

  statistics(): PoolStatistics {
    return { bytesInUse: this.inUse, highWaterBytes: this.highWater, reservedBytes: this.reserved };
  }

  private noteUse(bytes: number): void {
    if (bytes > this.highWater) this.highWater = bytes;
    if (bytes > this.mostInUse) this.mostInUse = bytes;
  }

  private readonly giveBack = (size: number, { buffer, address }: NativeBlock): void => {
    this.library.free(buffer, address);
    this.reserved -= size;
  };

  private reserve(size: number): NativeBlock {
    if (!this.library.read) {
      requireBuffer(size);
      this.free.dropTo(Math.max(2 * this.mostInUse, this.share), this.giveBack);
    }
    let block = this.library.allocate(size);
    if (!block && this.trim()) block = this.library.allocate(size);
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

/** Memory that JavaScript shares lies in a buffer, which Node 20 has of 4 GiB at most. */
function requireBuffer(size: number): void {
  if (size > constants.MAX_LENGTH)
    throw new BackendError('a tensor is larger than a buffer of JavaScript may be', {
      expected: `at most ${constants.MAX_LENGTH} bytes`,
      got: `${size} bytes`,
      hint: 'Compute it in parts, or use a newer Node, whose buffers may be larger',
    });
}
