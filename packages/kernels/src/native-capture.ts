import { BackendError } from '@vwn/core';
import type { Arena } from './arena';
import type { MemoryPool } from './memory-pool';
import type { NativeLibrary } from './native-library';
import type { TensorData } from './tensor-data';

/** What a kernel's failure becomes, whoever ran it. */
export function kernelFailed(name: string, error: unknown): BackendError {
  return new BackendError(`kernel ${name} failed`, { got: error instanceof Error ? error.message : String(error) });
}

/** Writes down the native calls of a capture under way. */
export class KernelRecorder {
  private readonly arena: Arena;
  private calls = new Float64Array(4096);
  private length = 0;
  /** Tensors from outside that kernels have used, and where these stood. */
  private readonly used = new Map<TensorData, number>();

  constructor(private readonly pool: MemoryPool) {
    this.arena = pool.beginArena();
  }

  uses(data: TensorData): void {
    const address = data.address(); // values of JavaScript's move into the arena here
    if (!data.isIn(this.arena)) this.used.set(data, address);
  }

  add(call: Float64Array): void {
    const end = this.length + call.length;
    if (end > this.calls.length) {
      const larger = new Float64Array(Math.max(end, 2 * this.calls.length));
      larger.set(this.calls);
      this.calls = larger;
    }
    this.calls.set(call, this.length);
    this.length = end;
  }

  abandon(): void {
    this.pool.endArena(this.arena);
    this.pool.closeArena(this.arena);
  }

  finish(library: NativeLibrary, feeds: readonly TensorData[]): { capture: NativeCapture } | { reason: string } {
    this.pool.endArena(this.arena);
    const { arena, pool, used } = this;
    const capture = new NativeCapture(library, pool, arena, this.calls.slice(0, this.length), used, feeds);
    if (!arena.isAccessed && capture.isValid()) return { capture };
    capture.dispose();
    const reason = arena.isAccessed
      ? 'JavaScript read or replaced values of a tensor'
      : 'a tensor from before was disposed of';
    return { reason };
  }
}

/** Native calls with their addresses, to be run again. */
export class NativeCapture {
  constructor(
    private readonly library: NativeLibrary,
    private readonly pool: MemoryPool,
    private readonly arena: Arena,
    private readonly calls: Float64Array,
    private readonly used: ReadonlyMap<TensorData, number>,
    private readonly feeds: readonly TensorData[],
  ) {}

  /** Whether memory and every tensor from outside are where they were. */
  isValid(): boolean {
    if (!this.arena.isOpen) return false;
    for (const [data, address] of this.used) if (data.place !== address) return false;
    return true;
  }

  /** @throws BackendError with the function's name and its own text */
  replay(values: readonly ArrayLike<number>[]): void {
    this.feeds.forEach((data, i) => data.overwrite(values[i] as ArrayLike<number>));
    this.pool.countReplay(this.arena);
    try {
      this.library.runAll(this.calls);
    } catch (error) {
      throw kernelFailed(this.library.functions[this.library.arguments[0] as number] as string, error);
    }
  }

  dispose(): void {
    if (this.arena.isOpen) this.pool.closeArena(this.arena);
  }
}
