import type { NativeBlock } from './native-library';

/** Blocks that nobody holds, in lists by size class. */
export class BlockLists {
  private readonly lists = new Map<number, NativeBlock[]>();

  take(size: number): NativeBlock | undefined {
    return this.lists.get(size)?.pop();
  }

  put(size: number, block: NativeBlock): void {
    const list = this.lists.get(size);
    if (list) list.push(block);
    else this.lists.set(size, [block]);
  }

  /** Empties the lists, telling of every block. */
  drain(each: (size: number, block: NativeBlock) => void): void {
    for (const [size, list] of this.lists) for (const block of list) each(size, block);
    this.lists.clear();
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
