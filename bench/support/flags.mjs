/** Flags that the scripts which time training steps share; sizes and defaults are those of the PyTorch peer. */
const sizeDefaults = {
  hidden: 256,
  layers: 6,
  heads: 4,
  ffn: 704,
  vocab: 4096,
  seq: 256,
  batch: 8,
  mtp: 0,
  warmup: 2,
  steps: 5,
};

export const sharedFlags = {
  precision: { type: 'string', multiple: true, default: ['fp32'] },
  mn: { type: 'string', multiple: true, default: ['0,0', '8,64'] },
  threads: { type: 'string' },
  ...Object.fromEntries(
    Object.entries(sizeDefaults).map(([name, value]) => [name, { type: 'string', default: `${value}` }]),
  ),
};

/** How often contenders take turns (turns.mjs); `steps` are those of one turn then. */
export const turnFlags = {
  rounds: { type: 'string', default: '2' },
  turns: { type: 'string', default: '6' },
  steps: { type: 'string', default: '3' },
};

/** @throws Error naming the flag that is no whole number of at least 1 */
export function turnsOf({ rounds, turns }, { warmup, steps }) {
  return { rounds: wholeNumber(rounds, 'rounds', 1), turns: wholeNumber(turns, 'turns', 1), warmup, steps };
}

/** @throws Error naming the flag that is no whole number */
export function sizesOf(values) {
  const sizes = Object.fromEntries(Object.keys(sizeDefaults).map((name) => [name, wholeNumber(values[name], name)]));
  wholeNumber(values.steps, 'steps', 1);
  return sizes;
}

export function wholeNumber(text, name, least = 0) {
  if (!/^\d+$/.test(text)) throw new Error(`--${name}: expected a whole number, got ${text}`);
  if (Number(text) < least) throw new Error(`--${name}: expected at least ${least}, got ${text}`);
  return Number(text);
}

/** "8,64" → { m: 8, n: 64 }; "0,0" is the plain transformer. */
export function parseWidths(text) {
  const [, m, n] = /^(\d+),(\d+)$/.exec(text) ?? [];
  if (m === undefined) throw new Error(`--mn: expected m,n such as 8,64 (0,0 is the plain transformer), got ${text}`);
  return { m: Number(m), n: Number(n) };
}

/** The norm before the reduce operator works in groups of D, which a fractional n/m does not divide into. */
export function isFractional({ m, n }) {
  return m > 0 && n % m !== 0;
}

export function requirePrecisions(precisions) {
  for (const each of precisions)
    if (each !== 'fp32' && each !== 'bf16') throw new Error(`--precision: expected fp32 or bf16, got ${each}`);
  return precisions;
}
