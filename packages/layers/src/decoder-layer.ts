import { widths, type ModelConfig } from '@vwn/core';
import type { Tensor } from '@tensorflow/tfjs-core';
import { CausalSelfAttention, type CacheSlot } from './attention';
import { Connection } from './connection';
import { SwiGluFeedForward } from './feed-forward';
import { initialScales } from './initial-scales';
import { SparseMoe, type AuxiliaryLosses } from './moe';
import { RmsNormLayer } from './norm';
import type { ParameterScope } from './parameters';
import type { Sublayer } from './residual-stream';

/** What a forward pass carries besides activations. */
export interface ForwardContext {
  readonly slot?: CacheSlot;
  readonly auxiliary?: AuxiliaryLosses;
}

/** One transformer layer: attention and feed-forward (dense or experts), each with its pre-norm and its connection. */
export class DecoderLayer {
  private readonly inputNorm: RmsNormLayer;
  private readonly postAttentionNorm: RmsNormLayer;
  private readonly attention: CausalSelfAttention;
  private readonly feedForward: SwiGluFeedForward | SparseMoe;
  private readonly attentionConnection: Connection | undefined;
  private readonly feedForwardConnection: Connection | undefined;

  constructor(config: ModelConfig, scope: ParameterScope) {
    const norm = { width: config.hidden_size, eps: config.rms_norm_eps };
    this.inputNorm = new RmsNormLayer(norm, scope.scope('input_layernorm'));
    this.postAttentionNorm = new RmsNormLayer(norm, scope.scope('post_attention_layernorm'));
    this.attention = buildAttention(config, scope.scope('self_attn'));
    this.feedForward = buildFeedForward(config, scope);
    this.attentionConnection = buildConnection(config, scope.scope('attn_connection'));
    this.feedForwardConnection = buildConnection(config, scope.scope('ffn_connection'));
  }

  /** The two sublayers, for {@link runSublayers}. */
  sublayers({ slot, auxiliary }: ForwardContext = {}): Sublayer[] {
    const { feedForward } = this;
    return [
      {
        connection: this.attentionConnection,
        norm: this.inputNorm,
        apply: (x: Tensor) => this.attention.apply(x, slot),
      },
      {
        connection: this.feedForwardConnection,
        norm: this.postAttentionNorm,
        apply: (x: Tensor) =>
          feedForward instanceof SparseMoe ? feedForward.apply(x, auxiliary) : feedForward.apply(x),
      },
    ];
  }
}

function buildAttention(config: ModelConfig, scope: ParameterScope): CausalSelfAttention {
  const { input, output } = initialScales(config);
  const options = {
    hiddenSize: config.hidden_size,
    heads: config.num_attention_heads,
    keyValueHeads: config.num_key_value_heads,
    headDim: config.head_dim,
    ropeTheta: config.rope_theta,
    initializerRange: input,
    outputRange: output,
  };
  return new CausalSelfAttention(options, scope);
}

function buildFeedForward(config: ModelConfig, scope: ParameterScope): SwiGluFeedForward | SparseMoe {
  const { input, output } = initialScales(config);
  const { hidden_size: hiddenSize, intermediate_size: intermediateSize } = config;
  const options = { hiddenSize, intermediateSize, initializerRange: input, outputRange: output };
  if (config.num_local_experts === 0) return new SwiGluFeedForward(options, scope.scope('mlp'));
  const { num_local_experts: experts, num_experts_per_tok: expertsPerToken } = config;
  return new SparseMoe({ ...options, experts, expertsPerToken }, scope.scope('block_sparse_moe'));
}

function buildConnection(config: ModelConfig, scope: ParameterScope): Connection | undefined {
  if (!config.virtual_width) return undefined;
  const { m, n } = widths(config);
  const options = {
    hiddenSize: config.hidden_size,
    m,
    n,
    dynamic: config.virtual_width.dynamic,
    eps: config.rms_norm_eps,
  };
  return new Connection(options, scope);
}
