import { blockMix, initializers, widths, type BlockMixParameters, type ModelConfig } from '@vwn/core';
import type { Tensor } from '@tensorflow/tfjs-core';
import { DecoderLayer, type ForwardContext } from './decoder-layer';
import { initialScales } from './initial-scales';
import type { ParameterScope } from './parameters';
import { runSublayers } from './residual-stream';

/**
 * One depth of multi-token prediction (§3.4): the state of the depth before and the embedding of a later token, mixed
 * segment by segment, then one more transformer layer. Reduce operator, final norm and unembedding are the model's.
 */
export class MultiTokenHead {
  private readonly parameters: BlockMixParameters;
  private readonly block: DecoderLayer;
  private readonly sizes: { n: number; eps: number };

  constructor(config: ModelConfig, scope: ParameterScope) {
    const { n, db } = widths(config);
    const { ones, normal } = initializers;
    this.sizes = { n, eps: config.rms_norm_eps };
    this.parameters = {
      hiddenNorm: scope.variable('hidden_norm.weight', [db], ones),
      embedNorm: scope.variable('embed_norm.weight', [db], ones),
      mix: scope.variable('mix.weight', [db, 2 * db], normal(initialScales(config).mix)),
    };
    this.block = new DecoderLayer(config, scope.scope('block'));
  }

  /** hidden: state at position t, embed: over-width embedding of token t+k, both [B, T, D'] → [B, T, D']. */
  apply(hidden: Tensor, embed: Tensor, context: ForwardContext = {}): Tensor {
    return runSublayers(blockMix(hidden, embed, this.parameters, this.sizes), this.block.sublayers(context));
  }
}
