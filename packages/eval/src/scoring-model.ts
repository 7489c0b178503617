import type { Tensor } from '@tensorflow/tfjs-core';

/** Rows of token ids, all of one length. */
export type IdRows = readonly (readonly number[])[];

/** What a model must offer to be evaluated; {@link scoringModel} makes one of a language model of `@vwn/layers`. */
export interface ScoringModel {
  readonly vocabSize: number;
  /** Longest input, in tokens. */
  readonly maxLength: number;
  /** −log p of each next token, in nats: [B, T + 1] ids → [B, T]. */
  tokenLosses(ids: IdRows): Tensor;
  /** Logits of the next token at every position: [B, T] ids → [B, T, V]. */
  logits(ids: IdRows): Tensor;
  /** Multi-token heads, where the model has them. */
  readonly multiToken?: MultiTokenLosses;
  /** Number of parameters, for result files. */
  readonly parameterCount?: number;
}

export interface MultiTokenLosses {
  /** Number K of heads; head k (from 1) predicts token t+k+1 from position t. */
  readonly depth: number;
  /** [B, T + 1 + K] ids → for each head the mean of its losses over B·T positions, a scalar in nats. */
  losses(ids: IdRows): readonly Tensor[];
}

/** What evaluation needs of a tokenizer; `Tokenizer` of `@vwn/text` is one. */
export interface EvalTokenizer {
  /** Ids of a text, without special tokens around it. */
  encode(text: string): readonly number[];
  decode(ids: readonly number[]): string;
  readonly bosId?: number | undefined;
  readonly eosId?: number | undefined;
}

/** The token that stands before a text without context: BOS, else EOS (lm-evaluation-harness's `prefix_token_id`). */
export function prefixTokenId({ bosId, eosId }: EvalTokenizer): number | undefined {
  return bosId ?? eosId;
}
