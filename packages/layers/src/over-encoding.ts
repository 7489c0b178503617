import {
  ConfigError,
  embeddingLookup,
  initializers,
  linear,
  requireNotNegative,
  requirePositiveWhole,
} from '@vwn/core';
import { addN, concat, tensor, type Tensor, type Variable } from '@tensorflow/tfjs-core';
import { Parameters, type ParameterScope } from './parameters';
import type { TokenIds } from './token-ids';

export interface OverEncodingOptions {
  readonly vocabSize: number;
  /** Width of the embedding that this is added to: D' of an over-width embedding. */
  readonly width: number;
  /** Which n-grams, by length. */
  readonly ngrams?: readonly number[];
  /** Rows of each n-gram table. */
  readonly tableSize: number;
  /** k slices of the width, each with a modulus of its own, so that two n-grams rarely meet in all of them. */
  readonly slices?: number;
  readonly initializerRange?: number;
}

interface Slice {
  readonly ngram: number;
  readonly modulus: number;
  readonly table: Variable;
  readonly projection: Variable;
}

/**
 * Over-Encoding (arXiv 2501.16975), the optional input augmentation of §2: embeddings of hashed 2- and 3-grams, to be
 * added to the 1-gram embedding. An n-gram's id is its tokens as digits in base V, modulo the slice's table size.
 * Parameters: `over_encoding.{n}.{slice}.table` [rows, width/k] and `.projection` [width, width/k].
 */
export class OverEncoding {
  private readonly slices: readonly Slice[];
  private readonly vocabSize: number;

  /** @throws ConfigError when a size cannot be one or the slices do not divide the width */
  constructor(options: OverEncodingOptions, scope: ParameterScope = new Parameters()) {
    const { vocabSize, width, ngrams = [2, 3], tableSize, slices = 2, initializerRange = 0.02 } = options;
    for (const [name, value] of Object.entries({ vocabSize, width, tableSize, slices }))
      requirePositiveWhole('OverEncoding', name, value);
    ngrams.forEach((ngram, i) => requirePositiveWhole('OverEncoding', `ngrams[${i}]`, ngram));
    requireNotNegative('OverEncoding', 'initializerRange', initializerRange);
    if (width % slices !== 0)
      throw new ConfigError('the slices must divide the width', {
        expected: `a divisor of ${width}`,
        got: String(slices),
      });
    const init = initializers.normal(initializerRange);
    this.vocabSize = vocabSize;
    this.slices = ngrams.flatMap((ngram) =>
      Array.from({ length: slices }, (_, i) => {
        const own = scope.scope(`over_encoding.${ngram}.${i}`);
        const modulus = tableSize + 2 * i + 1; // odd and different, so that collisions differ from slice to slice
        return {
          ngram,
          modulus,
          table: own.variable('table', [modulus, width / slices], init),
          projection: own.variable('projection', [width, width / slices], init),
        };
      }),
    );
  }

  /** Rows of token ids [B][T] → what to add to the 1-gram embedding, [B, T, width]. */
  apply(ids: Exclude<TokenIds, Tensor>): Tensor {
    const parts = this.slices.map(({ ngram, modulus, table, projection }) => {
      const hashed = concat(
        ids.map((row) => tensor(hashNgrams(row, ngram, this.vocabSize, modulus), [1, row.length], 'int32')),
        0,
      );
      return linear(embeddingLookup(table, hashed), projection);
    });
    return addN(parts);
  }
}

/** Of each position the n-gram that ends there, as Σ token·V^i modulo the table size; before the start stands token 0. */
export function hashNgrams(ids: ArrayLike<number>, ngram: number, vocabSize: number, modulus: number): Int32Array {
  return Int32Array.from({ length: ids.length }, (_, t) => {
    let hash = 0;
    // Horner's scheme from the oldest token keeps every intermediate below V·modulus, exact in a double.
    for (let back = ngram - 1; back >= 0; back--) hash = (hash * vocabSize + (ids[t - back] ?? 0)) % modulus;
    return hash;
  });
}
