import {
  causalAttention,
  ConfigError,
  linears,
  requireNotNegative,
  requirePositiveWhole,
  rotaryEmbedding,
} from '@vwn/core';
import { reshape, type Tensor } from '@tensorflow/tfjs-core';
import type { KeyValueCache } from './key-value-cache';
import { LinearLayer } from './linear-layer';
import { Parameters, type ParameterScope } from './parameters';

export interface AttentionOptions {
  readonly hiddenSize: number;
  readonly heads: number;
  readonly keyValueHeads?: number;
  readonly headDim?: number;
  readonly ropeTheta?: number;
  readonly initializerRange?: number;
  /** Initial scale of the output projection; see initial-scales.ts. */
  readonly outputRange?: number;
}

/** One layer's place in a KV cache. */
export interface CacheSlot {
  readonly cache: KeyValueCache;
  readonly layer: number;
}

/** Causal self-attention with rotary positions and grouped key/value heads, as in Llama. */
export class CausalSelfAttention {
  private readonly q: LinearLayer;
  private readonly k: LinearLayer;
  private readonly v: LinearLayer;
  private readonly o: LinearLayer;
  private readonly sizes: { heads: number; keyValueHeads: number; headDim: number; theta: number };

  /** @throws ConfigError */
  constructor(options: AttentionOptions, scope: ParameterScope = new Parameters()) {
    const { hiddenSize: D, heads, ropeTheta = 10000, initializerRange: std = 0.02 } = options;
    const { keyValueHeads = heads, headDim = D / heads, outputRange = std } = options;
    requireSizes({ hiddenSize: D, heads, keyValueHeads, headDim, ropeTheta });
    requireNotNegative('CausalSelfAttention', 'initializerRange', std);
    requireNotNegative('CausalSelfAttention', 'outputRange', outputRange);
    this.sizes = { heads, keyValueHeads, headDim, theta: ropeTheta };
    this.q = new LinearLayer({ input: D, output: heads * headDim, std }, scope.scope('q_proj'));
    this.k = new LinearLayer({ input: D, output: keyValueHeads * headDim, std }, scope.scope('k_proj'));
    this.v = new LinearLayer({ input: D, output: keyValueHeads * headDim, std }, scope.scope('v_proj'));
    this.o = new LinearLayer({ input: heads * headDim, output: D, std: outputRange }, scope.scope('o_proj'));
  }

  /** x [B, T, D] → [B, T, D]; with a cache, x are the tokens after those it holds. */
  apply(x: Tensor, slot?: CacheSlot): Tensor {
    const [B = 0, T = 0] = x.shape;
    const { heads, keyValueHeads, headDim, theta } = this.sizes;
    const offset = slot?.cache.length ?? 0;
    const [q0, k0, v0] = linears(
      x,
      [this.q, this.k, this.v].map(({ weight }) => weight),
    ) as [Tensor, Tensor, Tensor];
    const q = rotaryEmbedding(reshape(q0, [B, T, heads, headDim]), { theta, offset });
    const newK = rotaryEmbedding(reshape(k0, [B, T, keyValueHeads, headDim]), { theta, offset });
    const newV = reshape(v0, [B, T, keyValueHeads, headDim]);
    const { k, v } = slot ? slot.cache.append(slot.layer, newK, newV) : { k: newK, v: newV };
    return this.o.apply(reshape(causalAttention(q, k, v), [B, T, heads * headDim]));
  }
}

type Sizes = Required<Pick<AttentionOptions, 'hiddenSize' | 'heads' | 'keyValueHeads' | 'headDim' | 'ropeTheta'>>;

function requireSizes({ ropeTheta, ...sizes }: Sizes): void {
  for (const [name, value] of Object.entries(sizes)) requirePositiveWhole('CausalSelfAttention', name, value);
  const { heads, keyValueHeads, headDim } = sizes;
  if (heads % keyValueHeads !== 0)
    throw new ConfigError('CausalSelfAttention: query heads do not divide among key/value heads', {
      expected: `a divisor of ${heads}`,
      got: `keyValueHeads = ${keyValueHeads}`,
    });
  if (headDim % 2 !== 0)
    throw new ConfigError('CausalSelfAttention: rotary positions turn pairs of columns', {
      expected: 'an even headDim',
      got: String(headDim),
    });
  if (!(Number.isFinite(ropeTheta) && ropeTheta > 0))
    throw new ConfigError('CausalSelfAttention: ropeTheta is not the base of a geometric series', {
      expected: 'a number above 0, such as 10000',
      got: String(ropeTheta),
    });
}
