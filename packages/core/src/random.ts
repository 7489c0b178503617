/**
 * Seeded random numbers: sfc32 (Chris Doty-Humphrey's small fast counting generator, 128 bits of state), seeded by
 * hashing text with cyrb128. The same seed gives the same numbers on every machine, forever; not for cryptography.
 */
export type RngState = readonly [number, number, number, number];

export class Rng {
  // Fields of their own: an array of them would be made anew for every number.
  private a: number;
  private b: number;
  private c: number;
  private counter: number;

  private constructor(
    private readonly label: string,
    [a, b, c, counter]: RngState,
  ) {
    this.a = a;
    this.b = b;
    this.c = c;
    this.counter = counter;
  }

  static fromSeed(seed: number | string): Rng {
    return Rng.fromLabel(String(seed));
  }

  /** Goes on where {@link state} was taken. Forks of the result derive from `label`. */
  static fromState(state: RngState, label = ''): Rng {
    return new Rng(label, state);
  }

  private static fromLabel(label: string): Rng {
    const rng = new Rng(label, hash128(label));
    for (let i = 0; i < 12; i++) rng.next(); // spreads the seed over all words
    return rng;
  }

  /** An independent stream named by a label: the same whatever was drawn before, and in whatever order forks are made. */
  fork(label: string): Rng {
    return Rng.fromLabel(`${this.label}\u0000${label}`);
  }

  state(): RngState {
    return [this.a, this.b, this.c, this.counter];
  }

  /** Uniform in [0, 1), 32 bits of it random. */
  uniform(): number {
    return this.next() / 4294967296;
  }

  /** Uniform among 0 … n−1. */
  int(n: number): number {
    return Math.floor(this.uniform() * n);
  }

  /** Standard normal, by Box and Muller. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  normals(size: number, std = 1): Float32Array {
    const values = new Float32Array(size);
    for (let i = 0; i < size; i++) values[i] = this.normal() * std;
    return values;
  }

  /** Fisher and Yates, in place; returns its argument. */
  shuffle<T extends { length: number; [index: number]: unknown }>(items: T): T {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.int(i + 1);
      [items[i], items[j]] = [items[j], items[i]];
    }
    return items;
  }

  private next(): number {
    const { b, c } = this;
    const sum = (this.a + b + this.counter) | 0;
    this.a = b ^ (b >>> 9);
    this.b = (c + (c << 3)) | 0;
    this.c = (((c << 21) | (c >>> 11)) + sum) | 0;
    this.counter = (this.counter + 1) | 0;
    return sum >>> 0;
  }
}

/** cyrb128: four 32-bit words from a text. */
function hash128(text: string): [number, number, number, number] {
  let [h1, h2, h3, h4] = [1779033703, 3144134277, 1013904242, 2773480762];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    h1 = h2 ^ Math.imul(h1 ^ code, 597399067);
    h2 = h3 ^ Math.imul(h2 ^ code, 2869860233);
    h3 = h4 ^ Math.imul(h3 ^ code, 951274213);
    h4 = h1 ^ Math.imul(h4 ^ code, 2716044179);
  }
  h1 = Math.imul(h3 ^ (h1 >>> 18), 597399067);
  h2 = Math.imul(h4 ^ (h2 >>> 22), 2869860233);
  h3 = Math.imul(h1 ^ (h3 >>> 17), 951274213);
  h4 = Math.imul(h2 ^ (h4 >>> 19), 2716044179);
  return [h1 ^ h2 ^ h3 ^ h4, h2 ^ h1, h3 ^ h1, h4 ^ h1];
}
