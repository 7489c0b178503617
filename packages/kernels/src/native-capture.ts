import type { Arena } from './arena';
import { CallList } from './call-list';
import type { MemoryPool } from './memory-pool';
import type { NativeLibrary } from './native-library';
import type { TensorData } from './tensor-data';

/** What a capture has to do with tensors from outside. */
interface CapturedTensors {
  /** Where those stood that kernels have used. */
  readonly used: ReadonlyMap<TensorData, number>;
  /** Parameters that AdamW has written, and the rounded copies that it has written with them. */
  readonly written: ReadonlyMap<TensorData, TensorData | undefined>;
  /** Those that replays give other values. */
  readonly fed: readonly TensorData[];
}

/** Writes down the native calls of a capture under way. */
export class KernelRecorder implements CapturedTensors {
  private readonly arena: Arena;
  private calls = new Float64Array(4096);
  private length = 0;
  readonly used = new Map<TensorData, number>();
  readonly written = new Map<TensorData, TensorData | undefined>();

  constructor(
    private readonly pool: MemoryPool,
    readonly fed: readonly TensorData[],
  ) {
    this.arena = pool.beginArena();
  }

  feeds(data: TensorData): boolean {
    return this.fed.includes(data);
  }

  writes(data: TensorData): void {
    this.written.set(data, data.rounded);
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

  finish(library: NativeLibrary): { capture: NativeCapture } | { reason: string } {
    this.pool.endArena(this.arena);
    const { arena, pool, used, written, fed } = this;
    const calls = new CallList(library, this.calls.slice(0, this.length));
    const capture = new NativeCapture(pool, arena, calls, { used, written, fed });
    if (!arena.isAccessed && capture.isValid()) return { capture };
    capture.dispose();
    if (arena.isAccessed) return { reason: 'JavaScript read or replaced values of a tensor' };
    const isRoundedLater = [...written].some(([data, rounded]) => data.rounded !== rounded);
    return {
      reason: isRoundedLater
        ? 'a parameter was first multiplied after it was written'
        : 'a tensor from before was disposed of',
    };
  }
}

/** Native calls with their addresses, to be run again. */
export class NativeCapture {
  constructor(
    private readonly pool: MemoryPool,
    private readonly arena: Arena,
    private readonly calls: CallList,
    private readonly of: CapturedTensors,
  ) {}

  /** Whether memory and every tensor from outside are where they were, and what is written has the copies that it had. */
  isValid(): boolean {
    if (!this.arena.isOpen) return false;
    for (const [data, address] of this.of.used) if (data.place !== address) return false;
    for (const [data, rounded] of this.of.written) if (data.rounded !== rounded) return false;
    return true;
  }

  /** @throws as {@link CallList.run} */
  replay(values: readonly ArrayLike<number>[]): void {
    this.of.fed.forEach((data, i) => data.overwrite(values[i] as ArrayLike<number>));
    this.pool.countReplay(this.arena);
    this.calls.run();
  }

  dispose(): void {
    this.calls.dispose();
    if (this.arena.isOpen) this.pool.closeArena(this.arena);
  }
}
