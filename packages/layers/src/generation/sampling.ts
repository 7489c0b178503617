import type { Rng } from '@vwn/core';

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
 * and at least one token always remains.
 */
export function sampleToken(logits: Float32Array, options: SamplingOptions, rng: Rng): number {
  const { temperature = 1, topK = logits.length, topP = 1 } = options;
  if (temperature === 0) return argMax(logits);
  const order = Array.from(logits.keys()).sort((a, b) => at(logits, b) - at(logits, a) || a - b);
  const kept = order.slice(0, Math.max(1, topK));
  const largest = at(logits, kept[0] ?? 0);
  const weights = kept.map((id) => Math.exp((at(logits, id) - largest) / temperature));
  return draw(kept, weights.slice(0, nucleusSize(weights, topP)), rng);
}

/** Of weights in falling order: how many it takes until their share of the sum reaches p. */
function nucleusSize(weights: readonly number[], p: number): number {
  const total = sum(weights);
  let reached = 0;
  for (const [i, weight] of weights.entries()) {
    reached += weight / total;
    if (reached >= p) return i + 1;
  }
  return weights.length;
}

function draw(ids: readonly number[], weights: readonly number[], rng: Rng): number {
  let left = rng.uniform() * sum(weights);
  for (const [i, weight] of weights.entries()) {
    left -= weight;
    if (left < 0) return ids[i] as number;
  }
  return ids[weights.length - 1] as number;
}

function argMax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (at(values, i) > at(values, best)) best = i;
  return best;
}

function at(values: Float32Array, i: number): number {
  return values[i] as number;
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}
