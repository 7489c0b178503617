import type { ModelConfig } from '@vwn/core';

/** Standard deviations of a new model's weights; the one place where they are decided. */
export interface InitialScales {
  /** Embedding table. */
  readonly embedding: number;
  /** Projections into a sublayer, routers, the expansion of the embedding, unembedding. */
  readonly input: number;
  /** Projections that write to the residual stream: attention's o and the feed-forward's down. */
  readonly output: number;
  /** Reduce operator. */
  readonly reduce: number;
  /** Block mix of multi-token heads. */
  readonly mix: number;
}

/** All weights normal with `initializer_range`, as Hugging Face initialises Llama. */
export function initialScales(config: ModelConfig): InitialScales {
  const std = config.initializer_range;
  return { embedding: std, input: std, output: std, reduce: std, mix: std };
}
