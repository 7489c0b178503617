/**
 * Python's `random.Random(seed).sample`: the Mersenne Twister MT19937 (Matsumoto and Nishimura 1998) seeded by
 * `init_by_array`, and the sampling of CPython's Lib/random.py. With it a seed picks the same few-shot examples here as
 * in lm-evaluation-harness. Not for anything else: `Rng` of `@vwn/core` is the generator of these packages.
 */
const size = 624;
const shift = 397;

export class PythonRandom {
  private readonly words = new Uint32Array(size);
  private index = size;

  /** seed: a whole number of at most 32 bits. */
  constructor(seed: number) {
    const { words } = this;
    fillLinear(words, 19650218);
    let i = 1;
    for (let k = 0; k < size; k++) {
      words[i] = (at(words, i) ^ multiply(at(words, i - 1), 1664525)) + seed;
      i = advance(words, i);
    }
    for (let k = 0; k < size - 1; k++) {
      words[i] = (at(words, i) ^ multiply(at(words, i - 1), 1566083941)) - i;
      i = advance(words, i);
    }
    words[0] = 0x80000000;
  }

  /** `count` different items in random order. `count` may not be more than there are items. */
  sample<T>(items: readonly T[], count: number): T[] {
    const n = items.length;
    const setSize = 21 + (count > 5 ? 4 ** Math.ceil(Math.log(count * 3) / Math.log(4)) : 0);
    return n <= setSize ? this.samplePool([...items], count) : this.sampleIndices(items, count);
  }

  private samplePool<T>(pool: T[], count: number): T[] {
    return Array.from({ length: count }, (_, i) => {
      const j = this.below(pool.length - i);
      const chosen = pool[j] as T;
      pool[j] = pool[pool.length - i - 1] as T;
      return chosen;
    });
  }

  private sampleIndices<T>(items: readonly T[], count: number): T[] {
    const chosen = new Set<number>();
    while (chosen.size < count) chosen.add(this.below(items.length));
    return [...chosen].map((j) => items[j] as T);
  }

  /** Uniform among 0 … n−1: `_randbelow_with_getrandbits`. */
  private below(n: number): number {
    const bits = 32 - Math.clz32(n);
    for (;;) {
      const drawn = this.next() >>> (32 - bits);
      if (drawn < n) return drawn;
    }
  }

  private next(): number {
    if (this.index >= size) this.twist();
    let y = at(this.words, this.index++);
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  private twist(): void {
    const { words } = this;
    for (let k = 0; k < size; k++) {
      const y = (at(words, k) & 0x80000000) | (at(words, (k + 1) % size) & 0x7fffffff);
      words[k] = at(words, (k + shift) % size) ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.index = 0;
  }
}

function fillLinear(words: Uint32Array, seed: number): void {
  words[0] = seed;
  for (let i = 1; i < size; i++) words[i] = multiply(at(words, i - 1), 1812433253) + i;
}

/** a · b modulo 2³², of a word mixed with its own upper bits, as the seeding does. */
function multiply(word: number, factor: number): number {
  return Math.imul(word ^ (word >>> 30), factor) >>> 0;
}

function advance(words: Uint32Array, i: number): number {
  if (i + 1 < size) return i + 1;
  words[0] = at(words, size - 1);
  return 1;
}

function at(words: Uint32Array, i: number): number {
  return words[i] as number;
}
