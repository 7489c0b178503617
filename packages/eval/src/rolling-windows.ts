/** A stretch of a long sequence that is scored at once. */
export interface Window {
  /** First and one past the last token that the window holds, as places in the sequence. */
  readonly start: number;
  readonly end: number;
  /** The first token that it predicts; those before it in the window are context only. */
  readonly predictFrom: number;
}

/**
 * Windows that predict tokens 1 … length−1 of a sequence once each, as lm-evaluation-harness's rolling log-likelihood
 * does (`get_rolling_token_windows` with `context_len` 1): each reads at most `maxLength` tokens, windows follow one
 * another at that stride, the first token a window predicts is conditioned on the one token before it, and the last
 * window is filled up to `maxLength` with tokens already predicted, which serve as context only. Token 0 is the prefix
 * (BOS or EOS) of a text, or the first of given ids.
 */
export function rollingWindows(length: number, maxLength: number): Window[] {
  const windows: Window[] = [];
  for (let predicted = 1; predicted < length;) {
    const end = Math.min(predicted + maxLength, length);
    windows.push({ start: Math.max(0, end - 1 - maxLength), end, predictFrom: predicted });
    predicted = end;
  }
  return windows;
}
