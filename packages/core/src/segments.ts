import { ConfigError } from './errors';

/** Widths of a virtual width network, in the letters of the method. */
export interface SegmentWidths {
  /** Backbone width (hidden size): what attention and feed-forward see. */
  readonly D: number;
  /** Fraction rate: the backbone vector is cut into m segments. */
  readonly m: number;
  /** Number of over-width segments (slots), n ≥ m. */
  readonly n: number;
  /** Width of one segment, D/m. */
  readonly db: number;
  /** Virtual width factor n/m; need not be whole. */
  readonly r: number;
  /** Over-width (virtual) width D' = r·D = n·db. */
  readonly overWidth: number;
}

/** @throws ConfigError unless m divides D and n ≥ m, all positive whole numbers. */
export function segmentWidths({ hiddenSize: D, m, n }: { hiddenSize: number; m: number; n: number }): SegmentWidths {
  requireWhole({ hiddenSize: D, m, n });
  if (D % m !== 0)
    throw new ConfigError('the fraction rate m must divide the hidden size', {
      expected: `a divisor of ${D}`,
      got: `m = ${m}`,
      hint: `Choose m among ${divisors(D).join(', ')}`,
    });
  requireSlots(m, n);
  return { D, m, n, db: D / m, r: n / m, overWidth: (D / m) * n };
}

/** @throws ConfigError unless n ≥ m, both positive whole numbers. */
export function requireSlots(m: number, n: number): void {
  requireWhole({ m, n });
  if (n < m)
    throw new ConfigError('there must be at least as many slots as segments (n ≥ m)', {
      expected: `n of at least ${m}`,
      got: `n = ${n}`,
      hint: 'The virtual width factor is r = n/m; n = m keeps the width (Frac-Connections)',
    });
}

function requireWhole(numbers: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(numbers))
    if (!Number.isInteger(value) || value < 1)
      throw new ConfigError(`${name} is not a positive whole number`, { expected: 'at least 1', got: String(value) });
}

function divisors(value: number): number[] {
  return Array.from({ length: Math.min(value, 64) }, (_, i) => i + 1).filter((each) => value % each === 0);
}
