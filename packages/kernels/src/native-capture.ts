import type { Arena } from './arena';
import { CallList } from './call-list';
import type { MemoryPool } from './memory-pool';
import type { NativeLibrary } from './native-library';
import type { TensorData } from './tensor-data';

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
    const calls = new CallList(library, this.calls.slice(0, this.length));
    const capture = new NativeCapture(pool, arena, calls, used, feeds);
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
    private readonly pool: MemoryPool,
    private readonly arena: Arena,
    private readonly calls: CallList,
    private readonly used: ReadonlyMap<TensorData, number>,
    private readonly feeds: readonly TensorData[],
  ) {}

  /** Whether memory and every tensor from outside are where they were. */
  isValid(): boolean {
    if (!this.arena.isOpen) return false;
    for (const [data, address] of this.used) if (data.place !== address) return false;
    return true;
  }

  /** @throws as {@link CallList.run} */
  replay(values: readonly ArrayLike<number>[]): void {
    this.feeds.forEach((data, i) => data.overwrite(values[i] as ArrayLike<number>));
    this.pool.countReplay(this.arena);
    this.calls.run();
  }

  dispose(): void {
    this.calls.dispose();
    if (this.arena.isOpen) this.pool.closeArena(this.arena);
  }
}
