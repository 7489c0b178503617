/** Mean, and its standard error from the sample's standard deviation, as lm-evaluation-harness reports them. */
export function meanAndError(values: readonly number[]): { mean: number; stderr: number } {
  const count = values.length;
  const mean = values.reduce((sum, each) => sum + each, 0) / count;
  const variance = values.reduce((sum, each) => sum + (each - mean) ** 2, 0) / (count - 1);
  return { mean, stderr: Math.sqrt(variance / count) };
}

/**
 * Whether the likeliest choice is the right one: by log-likelihood (acc), and by log-likelihood over the choice's length
 * in characters (acc_norm). Of equal ones the first wins, as numpy's argmax.
 */
export function choiceScores(
  logLikelihoods: readonly number[],
  choices: readonly string[],
  gold: number,
): { acc: number; acc_norm: number } {
  const perCharacter = logLikelihoods.map((value, i) => value / codePoints(choices[i] as string));
  return { acc: Number(argMax(logLikelihoods) === gold), acc_norm: Number(argMax(perCharacter) === gold) };
}

/** Python's len(): Unicode code points, not UTF-16 units. */
function codePoints(text: string): number {
  return [...text].length;
}

function argMax(values: readonly number[]): number {
  return values.reduce((best, value, i) => (value > (values[best] as number) ? i : best), 0);
}
