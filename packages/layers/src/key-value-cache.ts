import { clone, concat, keep, tidy, type Tensor } from '@tensorflow/tfjs-core';

/** Keys and values of the tokens so far, an entry a layer, [B, S, K, d] each. */
export class KeyValueCache {
  private readonly layers = new Map<number, { k: Tensor; v: Tensor }>();
  private positions = 0;

  /** Number of tokens whose keys and values are held in every layer. */
  get length(): number {
    return this.positions;
  }

  /** Appends the keys and values of new tokens to a layer's and returns all. */
  append(layer: number, k: Tensor, v: Tensor): { k: Tensor; v: Tensor } {
    const earlier = this.layers.get(layer);
    const all = tidy(() => ({
      k: keep(earlier ? concat([earlier.k, k], 1) : clone(k)),
      v: keep(earlier ? concat([earlier.v, v], 1) : clone(v)),
    }));
    earlier?.k.dispose();
    earlier?.v.dispose();
    this.layers.set(layer, all);
    return all;
  }

  /** Called once all layers have seen the new tokens. */
  advance(tokens: number): void {
    this.positions += tokens;
  }

  dispose(): void {
    for (const { k, v } of this.layers.values()) {
      k.dispose();
      v.dispose();
    }
    this.layers.clear();
    this.positions = 0;
  }
}
