import { tensor, type Tensor } from '@tensorflow/tfjs-core';
import type { EvalTokenizer, IdRows, ScoringModel } from '../../src/index';

export interface FakeModelOptions {
  readonly vocabSize?: number;
  readonly maxLength?: number;
  /** Called with every batch the model is given. */
  readonly onBatch?: (ids: IdRows) => void;
}

/** A model whose probability of `next` after `seen` (the tokens of its row so far) is given by a function. */
export function fakeModel(
  probability: (next: number, seen: readonly number[]) => number,
  { vocabSize = 128, maxLength = 64, onBatch }: FakeModelOptions = {},
): ScoringModel {
  return {
    vocabSize,
    maxLength,
    tokenLosses: (ids: IdRows): Tensor => {
      onBatch?.(ids);
      return tensor(ids.map((row) => row.slice(1).map((next, t) => -Math.log(probability(next, row.slice(0, t + 1))))));
    },
    logits: (ids: IdRows): Tensor =>
      tensor(
        ids.map((row) =>
          row.map((_, t) =>
            Array.from({ length: vocabSize }, (_v, next) => Math.log(probability(next, row.slice(0, t + 1)))),
          ),
        ),
      ),
  };
}

/** A model that mixes all it has seen into its next-token distribution: any change of context or order shows. */
export function contextualModel(options: FakeModelOptions = {}): ScoringModel {
  const vocabSize = options.vocabSize ?? 128;
  const weight = (next: number, seen: readonly number[]) =>
    1 + ((seen.reduce((hash, id) => (hash * 31 + id + 7) % 1009, 1) * (next + 3)) % 17);
  return fakeModel((next, seen) => {
    let total = 0;
    for (let id = 0; id < vocabSize; id++) total += weight(id, seen);
    return weight(next, seen) / total;
  }, options);
}

/** One token a character: its code, below 128. Token 0 ends a text. */
export const characterTokenizer: EvalTokenizer = {
  encode: (text) => Array.from(text, (character) => character.charCodeAt(0) % 128),
  decode: (ids) => String.fromCharCode(...ids),
  eosId: 0,
};
