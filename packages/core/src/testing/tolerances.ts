/** What float32 arithmetic should meet against the float64 golden vectors, relative to the largest value. */
export const goldenTolerance = { forward: 2e-5, gradient: 1e-4, trajectoryLoss: 1e-4 } as const;

/** Largest |actual − expected| over the largest |expected| (over 1e-30 when all are 0). NaN anywhere gives NaN. */
export function maxRelativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let [difference, largest] = [0, 1e-30];
  for (let i = 0; i < expected.length; i++) {
    const distance = Math.abs((actual[i] as number) - (expected[i] as number));
    if (Number.isNaN(distance)) return Number.NaN;
    difference = Math.max(difference, distance);
    largest = Math.max(largest, Math.abs(expected[i] as number));
  }
  return difference / largest;
}
