import { codePointLength } from './python-text';

/** Mean of a metric over documents and its standard error, null where one document gives none. */
export interface Estimate {
  readonly value: number;
  readonly stderr: number | null;
}

/** Mean and its standard error from the sample's standard deviation (n − 1), lm-evaluation-harness's `mean_stderr`. */
export function meanEstimate(values: readonly number[]): Estimate {
  const value = sum(values) / values.length;
  if (values.length < 2) return { value, stderr: null };
  const variance = sum(values.map((each) => (each - value) ** 2)) / (values.length - 1);
  return { value, stderr: Math.sqrt(variance) / Math.sqrt(values.length) };
}

export interface ChoiceOutcome {
  /** 1 where the likeliest choice is the right one. */
  readonly acc: number;
  /** The same with each log-likelihood divided by its choice's length in characters (Unicode code points). */
  readonly acc_norm: number;
}

/** Scores one multiple-choice document as lm-evaluation-harness does; of equal choices the first counts. */
export function choiceOutcome(logprobs: readonly number[], choices: readonly string[], gold: number): ChoiceOutcome {
  const normalised = logprobs.map((logprob, i) => logprob / codePointLength(choices[i] ?? ''));
  return { acc: Number(argMax(logprobs) === gold), acc_norm: Number(argMax(normalised) === gold) };
}

export interface TextLikelihood {
  /** Log-likelihood of the text, in nats. */
  readonly logprob: number;
  readonly words: number;
  readonly bytes: number;
}

/** Perplexity a word and a byte, and bits a byte, over all texts together (`weighted_perplexity`, `bits_per_byte`). */
export function textMetrics(
  texts: readonly TextLikelihood[],
): Record<'word_perplexity' | 'byte_perplexity' | 'bits_per_byte', number> {
  const total = -sum(texts.map(({ logprob }) => logprob));
  const words = sum(texts.map((text) => text.words));
  const bytes = sum(texts.map((text) => text.bytes));
  return {
    word_perplexity: Math.exp(total / words),
    byte_perplexity: Math.exp(total / bytes),
    bits_per_byte: total / bytes / Math.LN2,
  };
}

function argMax(values: readonly number[]): number {
  return values.reduce((best, value, i) => (value > (values[best] ?? -Infinity) ? i : best), 0);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
