import { DataError } from '@vwn/core';
import type { LanguageModel } from '@vwn/layers';
import { scoringModel, type ScoringModel, type ScoringTokenizer } from './scoring-model';

/** Result of scoring; the keys are those of `vwn score --json`. */
export interface Score {
  /** Mean next-token loss in nats. */
  readonly loss: number;
  readonly perplexity: number;
  /** Only for text: total loss in bits over the text's length in UTF-8 bytes. */
  readonly bits_per_byte?: number;
  readonly tokens: number;
  /** A row a sequence; entry t is the log-probability of token t+1. */
  readonly logprobs: number[][];
  /** Mean losses of the multi-token heads, next-2-token first. */
  readonly mtp_losses?: number[];
}

/**
 * Scores sequences of token ids; each is one context of its own.
 * @throws DataError for ids out of the vocabulary, a sequence without a next token, or one longer than the model's positions
 */
export function scoreIds(model: LanguageModel | ScoringModel, sequences: readonly (readonly number[])[]): Score {
  const scorer = asScoringModel(model);
  if (sequences.length === 0)
    throw new DataError('there are no sequences to score', { expected: 'number[][] with at least one row' });
  sequences.forEach((ids, row) => checkSequence(ids, row, scorer));
  const logprobs = sequences.map((ids) => Array.from(scorer.logProbabilities([ids]).logProbs[0] as Float32Array));
  return summarize(logprobs, multiTokenLosses(scorer, sequences));
}

/**
 * Scores a text: windows of the model's length, one after the other, each token predicted once from the tokens of its
 * window before it (lm-evaluation-harness's rolling log-likelihood: the first token of a window is conditioned on the
 * last of the one before, that of the text on the end-of-text token).
 * @throws DataError for a text without tokens
 */
export function scoreText(model: LanguageModel | ScoringModel, tokenizer: ScoringTokenizer, text: string): Score {
  const scorer = asScoringModel(model);
  const ids = tokenizer.encode(text);
  const prefix = tokenizer.eosId ?? tokenizer.bosId;
  const stream = prefix === undefined ? ids : [prefix, ...ids];
  if (stream.length < 2)
    throw new DataError('the text is too short to score', {
      expected: 'at least one token to predict',
      got: `${ids.length} tokens`,
    });
  const windows = rollingWindows(stream, scorer.maxLength);
  windows.forEach((window, row) => checkSequence(window, row, scorer));
  const logprobs = windows.flatMap((window) =>
    Array.from(scorer.logProbabilities([window]).logProbs[0] as Float32Array),
  );
  const score = summarize([logprobs], multiTokenLosses(scorer, windows));
  const bytes = new TextEncoder().encode(text).length;
  const nats = -logprobs.reduce((sum, each) => sum + each, 0);
  const { loss, perplexity, ...rest } = score;
  return { loss, perplexity, bits_per_byte: nats / Math.LN2 / bytes, ...rest };
}

/** Windows of at most `length` predictions; each begins with the last token of the one before. */
export function rollingWindows(ids: readonly number[], length: number): number[][] {
  const windows: number[][] = [];
  for (let start = 0; start < ids.length - 1; start += length) windows.push(ids.slice(start, start + length + 1));
  return windows;
}

function asScoringModel(model: LanguageModel | ScoringModel): ScoringModel {
  return 'logProbabilities' in model ? model : scoringModel(model);
}

function checkSequence(ids: readonly number[], row: number, { vocabSize, maxLength }: ScoringModel): void {
  if (ids.length < 2 || ids.length - 1 > maxLength)
    throw new DataError(`sequence ${row} has an unusable length`, {
      expected: `2 to ${maxLength + 1} tokens (the model's max_position_embeddings and one to predict)`,
      got: String(ids.length),
    });
  const bad = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (bad === undefined) return;
  throw new DataError(`sequence ${row} holds the id ${bad}, which is not in the vocabulary`, {
    expected: `ids from 0 to ${vocabSize - 1}`,
    hint: 'Were the ids made with the tokenizer of this checkpoint?',
  });
}

/** Means over all predictions of each head, weighted by how many each sequence has. */
function multiTokenLosses(model: ScoringModel, sequences: readonly (readonly number[])[]): number[] | undefined {
  const depth = model.depth ?? 0;
  const usable = sequences.filter((ids) => ids.length >= depth + 2);
  if (depth === 0 || !model.losses || usable.length === 0) return undefined;
  const sums = new Float64Array(depth);
  let weight = 0;
  for (const ids of usable) {
    const predictions = ids.length - 1 - depth;
    weight += predictions;
    model
      .losses([ids])
      .slice(1)
      .forEach((loss, k) => (sums[k] = (sums[k] as number) + loss * predictions));
  }
  return Array.from(sums, (sum) => sum / weight);
}

function summarize(logprobs: number[][], mtpLosses: number[] | undefined): Score {
  const tokens = logprobs.reduce((sum, row) => sum + row.length, 0);
  const loss = -logprobs.flat().reduce((sum, each) => sum + each, 0) / tokens;
  return { loss, perplexity: Math.exp(loss), tokens, logprobs, ...(mtpLosses ? { mtp_losses: mtpLosses } : {}) };
}
