import { DataError } from '@vwn/core';
import { scoreSequences } from './batching';
import { scoringModel, type EvaluableModel } from './language-model';
import { rightStrip } from './python-text';
import { rollingLogprobs } from './score';
import { prefixTokenId, type EvalTokenizer } from './scoring-model';

/** How likely is `continuation` after `context`? */
export interface LogLikelihoodRequest {
  readonly context: string;
  readonly continuation: string;
}

export interface LogLikelihood {
  /** Sum over the continuation's tokens, in nats. */
  readonly logprob: number;
  /** Whether greedy decoding would have written the continuation. Only when asked for. */
  readonly isGreedy?: boolean;
}

export interface RequestOptions {
  /** Sequences scored at once. Default 8. */
  readonly batchSize?: number;
  /** Find {@link LogLikelihood.isGreedy} too: a batch's logits [B, T, V] must fit in memory. Default true. */
  readonly greedy?: boolean;
  /** Begin each context with the tokenizer's BOS token: what lm-evaluation-harness does for tokenizers that add one. */
  readonly addBosToken?: boolean;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface EncodedRequest {
  readonly context: readonly number[];
  readonly continuation: readonly number[];
}

/**
 * Tokens of a request by lm-evaluation-harness's rule (`_encode_pair`): whitespace at the context's end goes over to the
 * continuation, both are encoded as one text, and the continuation is what comes after as many tokens as the context
 * alone has. An empty context becomes the BOS (else EOS) token, or the continuation's first token where that is it.
 * @throws DataError when nothing of the continuation is left to predict, or nothing can stand before it
 */
export function encodeRequest(
  { context, continuation }: LogLikelihoodRequest,
  tokenizer: EvalTokenizer,
  { addBosToken = false }: RequestOptions = {},
): EncodedRequest {
  const stripped = rightStrip(context);
  const whole = tokenizer.encode(context + continuation);
  const { bosId } = tokenizer;
  const bos = addBosToken && bosId !== undefined && whole[0] !== bosId ? [bosId] : [];
  const encoded =
    stripped === ''
      ? afterPrefix(whole, prefixTokenId(tokenizer))
      : splitAt([...bos, ...whole], bos.length + tokenizer.encode(stripped).length);
  if (encoded.context.length === 0)
    throw new DataError('a continuation has nothing to stand after', {
      expected: 'a context, or a tokenizer with a BOS or EOS token',
      got: brief(continuation),
    });
  if (encoded.continuation.length === 0)
    throw new DataError('a continuation has no tokens of its own', {
      expected: 'text that adds at least one token to its context',
      got: `${brief(continuation)} after ${brief(context.slice(-40))}`,
    });
  return encoded;
}

/**
 * Log-likelihoods of requests, in their order. Requests longer than the model reads lose tokens at their left; they are
 * sorted by length, padded on the right and run in batches.
 * @throws DataError also for a continuation that alone is longer than the model reads
 */
export async function logLikelihoods(
  model: EvaluableModel,
  tokenizer: EvalTokenizer,
  requests: readonly LogLikelihoodRequest[],
  options: RequestOptions = {},
): Promise<LogLikelihood[]> {
  const { batchSize = 8, greedy = true, onProgress } = options;
  const scoring = scoringModel(model);
  const encoded = requests.map((request) => encodeRequest(request, tokenizer, options));
  encoded.forEach(({ continuation }, i) => checkFits(continuation, scoring.maxLength, requests[i]?.continuation ?? ''));
  const sequences = encoded.map(({ context, continuation }) =>
    [...context, ...continuation].slice(-(scoring.maxLength + 1)),
  );
  const scores = await scoreSequences(scoring, sequences, {
    batchSize,
    likeliest: greedy,
    ...(onProgress ? { onProgress } : {}),
  });
  return scores.map(({ logprobs, likeliest }, i) => {
    const { continuation } = encoded[i] as EncodedRequest;
    const own = logprobs.subarray(-continuation.length);
    const logprob = own.reduce((total, value) => total + value, 0);
    if (!likeliest) return { logprob };
    const best = likeliest.subarray(-continuation.length);
    return { logprob, isGreedy: continuation.every((id, t) => id === best[t]) };
  });
}

/** Log-likelihood of a whole text, through rolling windows after the prefix token. @throws DataError */
export async function rollingLogLikelihood(
  model: EvaluableModel,
  tokenizer: EvalTokenizer,
  text: string,
  { batchSize = 8, onProgress }: RequestOptions = {},
): Promise<number> {
  const prefix = prefixTokenId(tokenizer);
  if (prefix === undefined)
    throw new DataError('the tokenizer has neither a BOS nor an EOS token', {
      expected: 'one of them, to stand before the first token of a text',
      hint: 'Name one in tokenizer_config.json beside the tokenizer.json',
    });
  const ids = [prefix, ...tokenizer.encode(text)];
  if (ids.length === 1) return 0;
  const rows = await rollingLogprobs(scoringModel(model), [ids], { batchSize, ...(onProgress ? { onProgress } : {}) });
  return rows.flat().reduce((total, value) => total + value, 0);
}

function afterPrefix(ids: readonly number[], prefix: number | undefined): EncodedRequest {
  return prefix === undefined || ids[0] === prefix ? splitAt(ids, 1) : { context: [prefix], continuation: ids };
}

function splitAt(ids: readonly number[], at: number): EncodedRequest {
  return { context: ids.slice(0, at), continuation: ids.slice(at) };
}

function checkFits(continuation: readonly number[], maxLength: number, text: string): void {
  if (continuation.length > maxLength)
    throw new DataError('a continuation is longer than the model reads', {
      expected: `at most ${maxLength} tokens`,
      got: `${continuation.length}: ${brief(text)}`,
      hint: 'This task needs a model with a longer context (max_position_embeddings)',
    });
}

function brief(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);
}
