import { DataError } from '@vwn/core';
import { tidy, type Tensor } from '@tensorflow/tfjs-core';
import { scoreSequences } from './batching';
import { scoringModel, type EvaluableModel } from './language-model';
import { rollingWindows } from './rolling-windows';
import { prefixTokenId, type EvalTokenizer, type ScoringModel } from './scoring-model';

const tokensAtOnce = 2048;

/** How well a model predicts given tokens. All losses are in nats. */
export interface Score {
  /** Mean of −log p over all predicted tokens. */
  readonly loss: number;
  /** exp(loss). */
  readonly perplexity: number;
  /** Sum of −log₂ p over the UTF-8 bytes that were predicted; absent for ids without a tokenizer. */
  readonly bits_per_byte?: number;
  /** Number of tokens that were predicted. */
  readonly tokens: number;
  /** One list a sequence; row t of it holds the log-probability of token t+1 of that sequence. */
  readonly logprobs: readonly (readonly number[])[];
  /** Mean loss of each multi-token head: next-2-token, next-3-token, …; absent without heads. */
  readonly mtp_losses?: readonly number[];
  /** The sequences that `logprobs` speaks of; for a text its token ids after the prefix token. */
  readonly ids: readonly (readonly number[])[];
}

export interface ScoreOptions {
  /** Windows scored at once. Default: as many as hold about 2048 tokens. */
  readonly batchSize?: number;
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Scores sequences of token ids. The first token of each is given, all others are predicted; sequences longer than the
 * model reads go through {@link rollingWindows}. With a tokenizer, bits per byte counts the bytes of the predicted
 * tokens' text.
 * @throws DataError for no sequence, one of fewer than two tokens, or an id out of the vocabulary
 */
export async function scoreIds(
  model: EvaluableModel,
  ids: readonly (readonly number[])[],
  options: ScoreOptions & { readonly tokenizer?: EvalTokenizer } = {},
): Promise<Score> {
  const { tokenizer } = options;
  const bytes = tokenizer && sum(ids.map((row) => byteLength(tokenizer.decode(row.slice(1)))));
  return score(scoringModel(model), ids, bytes, options);
}

/**
 * Scores a text. Its first token is predicted from the tokenizer's BOS, else EOS token, as lm-evaluation-harness does;
 * where the tokenizer has neither, the first token is given and its bytes are not counted.
 * @throws DataError for a text of no tokens, or of one where nothing can stand before it
 */
export async function scoreText(
  model: EvaluableModel,
  tokenizer: EvalTokenizer,
  text: string,
  options: ScoreOptions = {},
): Promise<Score> {
  const tokens = tokenizer.encode(text);
  if (tokens.length === 0) throw new DataError('the text is empty', { hint: 'Give a text of at least one token' });
  const prefix = prefixTokenId(tokenizer);
  const bytes = prefix === undefined ? byteLength(tokenizer.decode(tokens.slice(1))) : byteLength(text);
  const ids = prefix === undefined ? tokens : [prefix, ...tokens];
  return score(scoringModel(model), [ids], bytes, options);
}

async function score(
  model: ScoringModel,
  ids: readonly (readonly number[])[],
  bytes: number | undefined,
  options: ScoreOptions,
): Promise<Score> {
  const logprobs = await rollingLogprobs(model, ids, options);
  const total = -sum(logprobs.map(sum));
  const tokens = sum(logprobs.map((row) => row.length));
  const loss = total / tokens;
  const mtpLosses = await multiTokenLosses(model, ids);
  return {
    loss,
    perplexity: Math.exp(loss),
    ...(bytes === undefined || bytes === 0 ? {} : { bits_per_byte: total / Math.LN2 / bytes }),
    tokens,
    logprobs,
    ...(mtpLosses ? { mtp_losses: mtpLosses } : {}),
    ids,
  };
}

/** Log-probabilities of tokens 1 … of each sequence, however long. */
export async function rollingLogprobs(
  model: ScoringModel,
  ids: readonly (readonly number[])[],
  { batchSize, onProgress }: ScoreOptions = {},
): Promise<number[][]> {
  checkRows(ids);
  const windows = ids.flatMap((row, index) =>
    rollingWindows(row.length, model.maxLength).map((window) => ({ ...window, index })),
  );
  const inputs = windows.map(({ index, start, end }) => (ids[index] as readonly number[]).slice(start, end));
  const longest = inputs.reduce((most, { length }) => Math.max(most, length), 0);
  const scores = await scoreSequences(model, inputs, {
    batchSize: batchSize ?? Math.max(1, Math.floor(tokensAtOnce / longest)),
    ...(onProgress ? { onProgress } : {}),
  });
  const logprobs = ids.map((): number[] => []);
  windows.forEach(({ index, start, predictFrom }, w) => {
    for (const value of scores[w]?.logprobs.subarray(predictFrom - start - 1) ?? []) logprobs[index]?.push(value);
  });
  return logprobs;
}

/**
 * Mean loss of each multi-token head over all positions that have a target for every head. Long sequences are cut into
 * stretches of the model's context, one after the other, without context across the cuts.
 */
async function multiTokenLosses(
  { multiToken, maxLength }: ScoringModel,
  ids: readonly (readonly number[])[],
): Promise<number[] | undefined> {
  if (!multiToken) return undefined;
  const { depth } = multiToken;
  const sums = new Array<number>(depth).fill(0);
  let positions = 0;
  for (const row of ids) {
    for (let start = 0; start + depth + 1 < row.length; start += maxLength) {
      const stretch = row.slice(start, start + maxLength + 1 + depth);
      const count = stretch.length - 1 - depth;
      const means = await readScalars(() => multiToken.losses([stretch]));
      means.forEach((mean, k) => (sums[k] = (sums[k] ?? 0) + mean * count));
      positions += count;
    }
  }
  return positions === 0 ? undefined : sums.map((each) => each / positions);
}

async function readScalars(compute: () => readonly Tensor[]): Promise<number[]> {
  const scalars = tidy(() => [...compute()]);
  const values = await Promise.all(scalars.map(async (scalar) => (await scalar.data())[0] ?? Number.NaN));
  scalars.forEach((scalar) => scalar.dispose());
  return values;
}

function checkRows(ids: readonly (readonly number[])[]): void {
  if (ids.length === 0)
    throw new DataError('there are no token ids to score', {
      expected: 'at least one sequence of at least two tokens',
    });
  ids.forEach((row, index) => {
    if (row.length < 2)
      throw new DataError(`sequence ${index} is too short to be scored`, {
        expected: 'at least two tokens: the first is given, the others are predicted',
        got: String(row.length),
      });
  });
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
