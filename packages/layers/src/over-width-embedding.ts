import {
  embeddingLookup,
  initializers,
  linear,
  requireChoice,
  requireNotNegative,
  requirePositiveWhole,
  segmentWidths,
} from '@vwn/core';
import type { Tensor, Variable } from '@tensorflow/tfjs-core';
import { Parameters, type ParameterScope } from './parameters';

export interface OverWidthEmbeddingOptions {
  readonly vocabSize: number;
  /** Backbone width D. */
  readonly hiddenSize: number;
  /** Fraction rate and number of slots; leave both out for an ordinary embedding of width D. */
  readonly m?: number;
  readonly n?: number;
  /** `wide`: a table [V, D']. `expand`: a table [V, D] and one linear map to D' (low-rank, for large r). */
  readonly mode?: 'wide' | 'expand';
  /** Standard deviation of initial weights. */
  readonly initializerRange?: number;
}

/**
 * Over-width embedding (§3.2): token ids → the over-width state H'⁰, [..., D'], n slots of db one after the other.
 * Parameters: `embed_tokens.weight`, and for `expand` `embed_expand.weight` [D', D].
 */
export class OverWidthEmbedding {
  readonly table: Variable;
  private readonly expansion: Variable | undefined;

  /** @throws ConfigError */
  constructor(options: OverWidthEmbeddingOptions, scope: ParameterScope = new Parameters()) {
    const { vocabSize, hiddenSize, m = 1, n = 1, mode = 'wide', initializerRange = 0.02 } = options;
    const { overWidth } = segmentWidths({ hiddenSize, m, n });
    requirePositiveWhole('OverWidthEmbedding', 'vocabSize', vocabSize);
    requireChoice('OverWidthEmbedding', 'mode', mode, ['wide', 'expand']);
    requireNotNegative('OverWidthEmbedding', 'initializerRange', initializerRange);
    const width = mode === 'wide' ? overWidth : hiddenSize;
    const init = initializers.normal(initializerRange);
    this.table = scope.variable('embed_tokens.weight', [vocabSize, width], init);
    if (mode === 'expand') this.expansion = scope.variable('embed_expand.weight', [overWidth, hiddenSize], init);
  }

  /** ids int32 [...] → [..., D']. */
  apply(ids: Tensor): Tensor {
    const rows = embeddingLookup(this.table, ids);
    return this.expansion ? linear(rows, this.expansion) : rows;
  }
}
