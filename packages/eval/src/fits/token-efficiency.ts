/** A point of a loss curve. */
export interface CurvePoint {
  readonly tokens: number;
  readonly loss: number;
}

/**
 * Training tokens after which a loss curve first is at or below a loss, linear between its points; undefined when it
 * never is. Points in the order of their tokens.
 */
export function tokensToReachLoss(curve: readonly CurvePoint[], loss: number): number | undefined {
  const index = curve.findIndex((point) => point.loss <= loss);
  const [after, before] = [curve[index], curve[index - 1]];
  if (!after || !before) return after?.tokens;
  const share = (before.loss - loss) / (before.loss - after.loss);
  return before.tokens + share * (after.tokens - before.tokens);
}

/**
 * How many times fewer tokens the candidate needs for the baseline's final loss (the paper's 2.5× and 3.5×); undefined
 * when it does not reach it.
 */
export function speedupRatio(baseline: readonly CurvePoint[], candidate: readonly CurvePoint[]): number | undefined {
  const target = baseline.at(-1);
  const needed = target && tokensToReachLoss(candidate, target.loss);
  const first = target && tokensToReachLoss(baseline, target.loss);
  return needed === undefined || first === undefined ? undefined : first / needed;
}
