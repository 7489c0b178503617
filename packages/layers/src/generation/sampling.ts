import { NumericsError, requireNotNegative, requirePositiveWhole, requireShare, type Rng } from '@vwn/core';

export interface SamplingOptions {
  /** Logits are divided by this; 0 always takes the likeliest token. */
  readonly temperature?: number;
  /** Sample among the k likeliest tokens only. */
  readonly topK?: number;
  /** Sample among the likeliest tokens whose probabilities first add up to p (nucleus sampling). */
  readonly topP?: number;
}

/**
 * Draws a token id from one row of logits. As in Hugging Face's generate: temperature first, then top-k, then top-p,
 * and at least one token always remains. A logit of −Infinity is that of a token that is never drawn.
 * @throws ConfigError for options that cannot be; NumericsError for logits that are NaN or Infinity, or all −Infinity
 */
export function sampleToken(logits: Float32Array, options: SamplingOptions, rng: Rng): number {
  const { temperature = 1, topK = logits.length, topP = 1 } = options;
  requireSampling(temperature, topK, topP);
  requireProbabilities(logits);
  if (temperature === 0) return argMax(logits);
  const kept = likeliestFirst(logits).subarray(0, topK);
  const largest = at(logits, at(kept, 0));
  const weights = new Float64Array(kept.length).map((_, i) =>
    Math.exp((at(logits, at(kept, i)) - largest) / temperature),
  );
  return draw(kept, weights.subarray(0, nucleusSize(weights, topP)), rng);
}

function requireSampling(temperature: number, topK: number, topP: number): void {
  requireNotNegative('sampleToken', 'temperature', temperature);
  requirePositiveWhole('sampleToken', 'topK', topK);
  requireShare('sampleToken', 'topP', topP);
}

function requireProbabilities(logits: Float32Array): void {
  const wrong = logits.find((each) => !(each < Infinity));
  if (wrong === undefined && logits.some((each) => each > -Infinity)) return;
  throw new NumericsError('the model gives logits that make no probabilities', {
    got: wrong === undefined ? 'only -Infinity' : String(wrong),
    hint: 'The weights are damaged, or training had diverged when they were saved',
  });
}

/**
 * Ids by falling logits, and rising where those are equal. Sorted as numbers of 64 bits, which takes a tenth of the time of a
 * comparing function at GPT-2's vocabulary: the upper half rises as the logit falls, the lower is the id.
 */
function likeliestFirst(logits: Float32Array): Uint32Array {
  const keys = new BigUint64Array(logits.length);
  const halves = new Uint32Array(keys.buffer);
  const bits = new Int32Array(logits.map((each) => each + 0).buffer); // −0 + 0 is 0
  for (let i = 0; i < bits.length; i++) {
    const each = at(bits, i);
    halves[2 * i] = i;
    // Positive floats rise with their bits, negative ones fall.
    halves[2 * i + 1] = each < 0 ? each : 0x7fffffff - each;
  }
  keys.sort();
  return new Uint32Array(logits.length).map((_, i) => at(halves, 2 * i));
}

/** Of weights in falling order: how many it takes until their share of the sum reaches p. */
function nucleusSize(weights: Float64Array, p: number): number {
  const total = sum(weights);
  let reached = 0;
  for (let i = 0; i < weights.length; i++) {
    reached += at(weights, i) / total;
    if (reached >= p) return i + 1;
  }
  return weights.length;
}

function draw(ids: Uint32Array, weights: Float64Array, rng: Rng): number {
  let left = rng.uniform() * sum(weights);
  for (let i = 0; i < weights.length; i++) {
    left -= at(weights, i);
    if (left < 0) return at(ids, i);
  }
  return at(ids, weights.length - 1);
}

function argMax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (at(values, i) > at(values, best)) best = i;
  return best;
}

function at(values: Float32Array | Float64Array | Int32Array | Uint32Array, i: number): number {
  return values[i] as number;
}

function sum(values: Float64Array): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += at(values, i);
  return total;
}
