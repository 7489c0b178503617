import type { ScoringModel, ScoringTokenizer } from './scoring-model';

/** One question to the model: how likely is the continuation after the context? */
export interface LikelihoodRequest {
  readonly context: string;
  readonly continuation: string;
}

export interface Likelihood {
  /** Sum of the continuation's log-probabilities, in nats. */
  readonly logLikelihood: number;
  /** Whether greedy decoding would produce the continuation. */
  readonly isGreedy: boolean;
}

interface Encoded {
  readonly index: number;
  /** Context and continuation, cut at the left to what the model takes. */
  readonly ids: readonly number[];
  readonly continuationLength: number;
}

/**
 * Answers requests in batches, longest first, as lm-evaluation-harness does. Rows of a batch are padded at the right;
 * causal attention keeps padding from changing what stands before it.
 */
export function answerRequests(
  model: ScoringModel,
  tokenizer: ScoringTokenizer,
  requests: readonly LikelihoodRequest[],
  { batchSize = 8, onProgress }: { batchSize?: number; onProgress?: (done: number, total: number) => void } = {},
): Likelihood[] {
  const encoded = requests.map((request, index) => encode(request, index, model, tokenizer));
  const order = [...encoded].sort((a, b) => b.ids.length - a.ids.length || a.index - b.index);
  const answers = new Array<Likelihood>(requests.length);
  for (let start = 0; start < order.length; start += batchSize) {
    const batch = order.slice(start, start + batchSize);
    answerBatch(model, batch).forEach((answer, i) => (answers[(batch[i] as Encoded).index] = answer));
    onProgress?.(Math.min(order.length, start + batchSize), order.length);
  }
  return answers;
}

/**
 * The harness's rule: white space at the end of the context belongs to the continuation; both are encoded together, and
 * the continuation's tokens are those after as many as the context alone has. An empty context is the end-of-text token.
 */
export function encodePair(
  tokenizer: ScoringTokenizer,
  { context, continuation }: LikelihoodRequest,
): { context: number[]; continuation: number[] } {
  if (context === '') {
    const prefix = tokenizer.eosId ?? tokenizer.bosId;
    const ids = tokenizer.encode(continuation);
    return prefix === undefined
      ? { context: ids.slice(0, 1), continuation: ids.slice(1) }
      : { context: [prefix], continuation: ids };
  }
  const trimmed = context.trimEnd();
  const whole = tokenizer.encode(trimmed + context.slice(trimmed.length) + continuation);
  const contextLength = tokenizer.encode(trimmed).length;
  return { context: whole.slice(0, contextLength), continuation: whole.slice(contextLength) };
}

function encode(
  request: LikelihoodRequest,
  index: number,
  { maxLength }: ScoringModel,
  tokenizer: ScoringTokenizer,
): Encoded {
  const { context, continuation } = encodePair(tokenizer, request);
  const ids = [...context, ...continuation].slice(-(maxLength + 1));
  return { index, ids, continuationLength: Math.min(continuation.length, ids.length - 1) };
}

function answerBatch(model: ScoringModel, batch: readonly Encoded[]): Likelihood[] {
  const longest = Math.max(2, ...batch.map(({ ids }) => ids.length));
  const rows = batch.map(({ ids }) => [...ids, ...new Array<number>(longest - ids.length).fill(0)]);
  const { logProbs, greedy } = model.logProbabilities(rows);
  return batch.map(({ ids, continuationLength }, i) => {
    const [end, begin] = [ids.length - 1, ids.length - 1 - continuationLength];
    const values = (logProbs[i] as Float32Array).subarray(begin, end);
    return {
      logLikelihood: values.reduce((sum, each) => sum + each, 0),
      isGreedy: (greedy[i] as boolean[]).slice(begin, end).every(Boolean),
    };
  });
}
