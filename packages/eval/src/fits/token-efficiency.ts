import { DataError } from '@vwn/core';

/** A point of a learning curve: the loss after so many training tokens. */
export interface CurvePoint {
  readonly tokens: number;
  readonly loss: number;
}

/**
 * Tokens after which a learning curve first meets `loss`: on the straight line between the last point above it and the
 * first at or below it; undefined when no point is.
 * @throws DataError when tokens do not increase along the curve, or `loss` is not a number
 */
export function tokensToReachLoss(curve: readonly CurvePoint[], loss: number): number | undefined {
  checkCurve(curve, loss);
  const reached = curve.findIndex((point) => point.loss <= loss);
  const after = curve[reached];
  if (!after) return undefined;
  const before = curve[reached - 1];
  // a loss that was not finite just before gives no line to interpolate on
  if (!before || !Number.isFinite(before.loss)) return after.tokens;
  return before.tokens + ((before.loss - loss) / (before.loss - after.loss)) * (after.tokens - before.tokens);
}

/**
 * How many times fewer tokens `candidate` needs than `baseline` to reach a loss, by default the baseline's last (Fig. 1
 * of the paper: 2.5 for the next-token loss). Undefined when one of them does not reach it.
 * @throws DataError
 */
export function speedupRatio(
  baseline: readonly CurvePoint[],
  candidate: readonly CurvePoint[],
  loss: number = baseline.at(-1)?.loss ?? Number.NaN,
): number | undefined {
  const [slow, fast] = [tokensToReachLoss(baseline, loss), tokensToReachLoss(candidate, loss)];
  return slow === undefined || fast === undefined ? undefined : slow / fast;
}

function checkCurve(curve: readonly CurvePoint[], loss: number): void {
  if (!Number.isFinite(loss))
    throw new DataError('the loss to reach is wrong', { expected: 'a finite number', got: String(loss) });
  curve.forEach(({ tokens }, i) => {
    const previous = curve[i - 1]?.tokens ?? -Infinity;
    if (!(tokens > previous) || tokens < 0)
      throw new DataError(`point ${i} of the learning curve is out of order`, {
        expected: i === 0 ? 'a number of tokens' : `more than ${previous} tokens`,
        got: String(tokens),
        hint: 'Sort the points by tokens; a resumed run may have logged steps twice',
      });
  });
}
