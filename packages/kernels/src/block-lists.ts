import type { NativeBlock } from './native-library';

interface List {
  readonly size: number;
  readonly blocks: NativeBlock[];
  /** When a block last came or went, in such events. */
  usedAt: number;
}

/** Blocks that nobody holds, in lists by size class. */
export class BlockLists {
  private readonly lists = new Map<number, List>();
  private events = 0;
  /** Bytes of all blocks. */
  private kept = 0;

  take(size: number): NativeBlock | undefined {
    const list = this.lists.get(size);
    const block = list?.blocks.pop();
    if (!list || !block) return undefined;
    list.usedAt = ++this.events;
    this.kept -= size;
    return block;
  }

  put(size: number, block: NativeBlock): void {
    let list = this.lists.get(size);
    if (!list) this.lists.set(size, (list = { size, blocks: [], usedAt: 0 }));
    list.blocks.push(block);
    list.usedAt = ++this.events;
    this.kept += size;
  }

  /** Drops blocks, of the sizes first that have not been of use for longest, until so many bytes are left. */
  dropTo(bytes: number, each: (size: number, block: NativeBlock) => void): void {
    if (this.kept <= bytes) return;
    for (const { size, blocks } of [...this.lists.values()].sort((a, b) => a.usedAt - b.usedAt))
      while (this.kept > bytes && blocks.length > 0) {
        this.kept -= size;
        each(size, blocks.pop() as NativeBlock);
      }
  }

  /** Empties the lists, telling of every block. */
  drain(each: (size: number, block: NativeBlock) => void): void {
    this.dropTo(0, each);
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
