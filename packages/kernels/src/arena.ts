import { BlockLists } from './block-lists';
import type { NativeBlock } from './native-library';

/**
 * Blocks that the kernels of one capture have for themselves, so that running them again at the same addresses writes
 * over nobody's tensor. Within the capture a released block is handed out again: a replay releases in the same order.
 */
export class Arena {
  isOpen = true;
  /** Set where JavaScript has read or replaced what stands in any block: a replay could not do that. */
  isAccessed = false;
  private readonly lists = new BlockLists();
  /** Released blocks that a replay reads and does not write. */
  private readonly constants: { size: number; block: NativeBlock }[] = [];

  /** @param mostInUse bytes that tensors held at the most while capturing; then, how much more than at its end */
  constructor(public mostInUse: number) {}

  take(size: number): NativeBlock | undefined {
    return this.lists.take(size);
  }

  put(size: number, block: NativeBlock, isConstant: boolean): void {
    if (isConstant) this.constants.push({ size, block });
    else this.lists.put(size, block);
  }

  close(giveBack: (size: number, block: NativeBlock) => void): void {
    this.isOpen = false;
    this.lists.drain(giveBack);
    for (const { size, block } of this.constants.splice(0)) giveBack(size, block);
  }
}
