/**
 * The core of byte-pair encoding: repeatedly joins the most frequent pair of neighbouring symbols. Counts are kept up
 * to date as words change, and the most frequent pair comes from a heap whose outdated entries are dropped on sight.
 */
export interface Merge {
  readonly left: number;
  readonly right: number;
}

interface Word {
  readonly symbols: number[];
  readonly count: number;
}

/** Pairs are numbers: 26 bits each side. */
const shift = 2 ** 26;

export class MergeCounter {
  private readonly counts = new Map<number, number>();
  /** Words in which a pair occurs, or did. */
  private readonly where = new Map<number, Set<Word>>();
  private readonly heap = new PairHeap();

  constructor(words: Iterable<Word>) {
    for (const word of words) this.add(word, 1);
    for (const [pair, count] of this.counts) this.heap.push({ pair, count });
  }

  /** The most frequent pair (of equal ones the lower symbols), or undefined when no pair occurs `minCount` times. */
  best(minCount: number): Merge | undefined {
    for (let top = this.heap.pop(); top; top = this.heap.pop()) {
      const count = this.counts.get(top.pair) ?? 0;
      if (count === top.count)
        return count >= minCount ? { left: Math.floor(top.pair / shift), right: top.pair % shift } : undefined;
    }
    return undefined;
  }

  /** Replaces the pair by one symbol in every word. */
  apply({ left, right }: Merge, symbol: number): void {
    const pair = left * shift + right;
    const touched = new Set<number>();
    for (const word of this.where.get(pair) ?? []) {
      this.add(word, -1, touched);
      join(word.symbols, left, right, symbol);
      this.add(word, 1, touched);
    }
    this.counts.delete(pair);
    this.where.delete(pair);
    for (const each of touched) if (each !== pair) this.heap.push({ pair: each, count: this.counts.get(each) ?? 0 });
  }

  private add(word: Word, sign: 1 | -1, touched?: Set<number>): void {
    const { symbols, count } = word;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const pair = (symbols[i] as number) * shift + (symbols[i + 1] as number);
      this.counts.set(pair, (this.counts.get(pair) ?? 0) + sign * count);
      touched?.add(pair);
      if (sign < 0) continue;
      const words = this.where.get(pair);
      if (words) words.add(word);
      else this.where.set(pair, new Set([word]));
    }
  }
}

function join(symbols: number[], left: number, right: number, joined: number): void {
  let kept = 0;
  for (let i = 0; i < symbols.length; i++) {
    const matches = symbols[i] === left && symbols[i + 1] === right;
    symbols[kept++] = matches ? joined : (symbols[i] as number);
    if (matches) i++;
  }
  symbols.length = kept;
}

interface Entry {
  readonly pair: number;
  readonly count: number;
}

/** Binary heap: largest count first, of equal ones the smallest pair. */
class PairHeap {
  private readonly items: Entry[] = [];

  push(entry: Entry): void {
    if (entry.count <= 0) return;
    const { items } = this;
    let i = items.push(entry) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(entry, items[parent] as Entry)) break;
      items[i] = items[parent] as Entry;
      i = parent;
    }
    items[i] = entry;
  }

  pop(): Entry | undefined {
    const { items } = this;
    const top = items[0];
    const last = items.pop();
    if (last === undefined || items.length === 0) return top;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && before(items[child + 1] as Entry, items[child] as Entry)) child++;
      if (!before(items[child] as Entry, last)) break;
      items[i] = items[child] as Entry;
      i = child;
    }
    items[i] = last;
    return top;
  }
}

function before(a: Entry, b: Entry): boolean {
  return a.count > b.count || (a.count === b.count && a.pair < b.pair);
}
