import { DataError, NumericsError } from '@vwn/core';
import { argMax, tidy, type Tensor } from '@tensorflow/tfjs-core';
import type { ScoringModel } from './scoring-model';

export interface SequenceScore {
  /** Element t: log-probability of token t+1, in nats. */
  readonly logprobs: Float32Array;
  /** Element t: the id the model finds likeliest at place t+1. Only when asked for. */
  readonly likeliest?: Int32Array;
}

export interface BatchOptions {
  /** Sequences scored at once. */
  readonly batchSize: number;
  /** Also find the likeliest token of every place, which needs the logits [B, T, V] of a batch at once. */
  readonly likeliest?: boolean;
  /** Called after each batch. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Right padding: what stands after a sequence cannot change what a causal model says of it. */
const paddingId = 0;

/**
 * Log-probabilities of token sequences, each of 2 to maxLength + 1 tokens. They are sorted by length, longest first (as
 * lm-evaluation-harness does: memory trouble shows at once), padded on the right and run in batches; results come in
 * the order of `sequences`.
 * @throws DataError for a sequence that is too short, too long or not of the vocabulary
 * @throws NumericsError when the model gives NaN or an infinite loss
 */
export async function scoreSequences(
  model: ScoringModel,
  sequences: readonly (readonly number[])[],
  options: BatchOptions,
): Promise<SequenceScore[]> {
  const { batchSize, onProgress } = options;
  if (!Number.isInteger(batchSize) || batchSize < 1)
    throw new DataError('the batch size is wrong', {
      expected: 'a whole number of at least 1',
      got: String(batchSize),
    });
  sequences.forEach((sequence, i) => checkSequence(sequence, i, model));
  const order = sequences.map((_, i) => i).sort((a, b) => lengthAt(sequences, b) - lengthAt(sequences, a));
  const results = new Array<SequenceScore>(sequences.length);
  for (let from = 0; from < order.length; from += batchSize) {
    const members = order.slice(from, from + batchSize);
    const scores = await scoreBatch(
      model,
      members.map((i) => sequences[i] as readonly number[]),
      options,
    );
    members.forEach((member, b) => (results[member] = scores[b] as SequenceScore));
    onProgress?.(from + members.length, order.length);
  }
  return results;
}

async function scoreBatch(
  model: ScoringModel,
  batch: readonly (readonly number[])[],
  { likeliest = false }: BatchOptions,
): Promise<SequenceScore[]> {
  const width = batch.reduce((most, { length }) => Math.max(most, length), 0);
  const rows = batch.map((sequence) => [...sequence, ...new Array<number>(width - sequence.length).fill(paddingId)]);
  const losses = await read(() => model.tokenLosses(rows));
  const best = likeliest ? await read(() => argMax(model.logits(rows.map((row) => row.slice(0, -1))), -1)) : undefined;
  return batch.map((sequence, b) => {
    const [from, to] = [b * (width - 1), b * (width - 1) + sequence.length - 1];
    const logprobs = Float32Array.from(losses.subarray(from, to), (loss) => -loss);
    checkFinite(logprobs);
    return { logprobs, ...(best ? { likeliest: Int32Array.from(best.subarray(from, to)) } : {}) };
  });
}

/** Runs `compute` and reads its result; no tensor outlives the call. */
async function read(compute: () => Tensor): Promise<Float32Array | Int32Array> {
  const tensor = tidy(compute);
  try {
    return (await tensor.data()) as Float32Array | Int32Array;
  } finally {
    tensor.dispose();
  }
}

function lengthAt(sequences: readonly (readonly number[])[], i: number): number {
  return sequences[i]?.length ?? 0;
}

function checkSequence(sequence: readonly number[], index: number, { maxLength, vocabSize }: ScoringModel): void {
  if (sequence.length < 2 || sequence.length > maxLength + 1)
    throw new DataError(`sequence ${index} has the wrong length`, {
      expected: `2 to ${maxLength + 1} tokens (the model reads ${maxLength})`,
      got: String(sequence.length),
    });
  const wrong = sequence.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (wrong >= 0)
    throw new DataError(`sequence ${index} holds a token that is not in the vocabulary (position ${wrong})`, {
      expected: `a whole number from 0 to ${vocabSize - 1}`,
      got: String(sequence[wrong]),
      hint: 'Do the tokenizer and the checkpoint belong together?',
    });
}

function checkFinite(logprobs: Float32Array): void {
  const wrong = logprobs.find((value) => !Number.isFinite(value));
  if (wrong !== undefined)
    throw new NumericsError('the model gives a log-probability that is not finite', {
      got: String(wrong),
      hint: 'The weights are damaged, or training had diverged when they were saved',
    });
}
