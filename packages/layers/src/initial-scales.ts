import { widths, type ModelConfig } from '@vwn/core';

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

/**
 * Normal with `initializer_range`, as Hugging Face initialises Llama; but the reduce operator starts larger. It stands
 * between two norms, so its scale does not change what the model computes, only how fast Adam turns it: a step of lr in
 * each of D' inputs moves the output by lr·√D'/std of its size. Everything the model says passes through this one
 * matrix, and at 0.02 it turned by more than its own size a step (docs/experiments.md).
 */
export function initialScales(config: ModelConfig): InitialScales {
  const std = config.initializer_range;
  const reduce = 2 * std * Math.sqrt(widths(config).overWidth);
  return { embedding: std, input: std, output: std, reduce, mix: std };
}
