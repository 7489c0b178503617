import {
  ConfigError,
  embeddingLookup,
  groupedLinear,
  groupedLinears,
  requirePositiveWhole,
  routeTokens,
  swiGlu,
  type RoutedTokens,
} from '@vwn/core';
import { mean, mul, reshape, sum, type Scalar, type Tensor } from '@tensorflow/tfjs-core';
import { mixtralNames, SwiGluFeedForward, type FeedForwardOptions } from './feed-forward';
import { LinearLayer } from './linear-layer';
import { Parameters, type ParameterScope } from './parameters';

export interface MoeOptions extends FeedForwardOptions {
  readonly experts: number;
  readonly expertsPerToken: number;
}

/** Called with each layer's load-balancing loss, and the share of the tokens that each expert got, [E]. */
export type AuxiliaryLosses = (loadBalance: Scalar, shares: Tensor) => void;

/**
 * Sparse mixture of experts with Mixtral's routing: softmax over all experts, the top k kept and renormalised to one.
 * Rows are sorted by expert, so that one product has the weights of all experts. Which expert gets which token is never
 * read back where the backend routes by itself; so an expert that gets none has a gradient of zeros, see
 * `unreachedExperts`.
 */
export class SparseMoe {
  private readonly gate: LinearLayer;
  private readonly experts: readonly SwiGluFeedForward[];
  private readonly expertsPerToken: number;

  /** @throws ConfigError */
  constructor(options: MoeOptions, scope: ParameterScope = new Parameters()) {
    const { hiddenSize, experts, expertsPerToken, initializerRange: std = 0.02 } = options;
    requirePositiveWhole('SparseMoe', 'hiddenSize', hiddenSize);
    requireExperts(experts, expertsPerToken);
    this.expertsPerToken = expertsPerToken;
    this.gate = new LinearLayer({ input: hiddenSize, output: experts, std }, scope.scope('gate'));
    this.experts = Array.from(
      { length: experts },
      (_, e) => new SwiGluFeedForward(options, scope.scope(`experts.${e}`), mixtralNames),
    );
  }

  /** x [..., D] → [..., D]. */
  apply(x: Tensor, auxiliary?: AuxiliaryLosses): Tensor {
    const D = x.shape[x.rank - 1] as number;
    const tokens = reshape(x, [x.size / D, D]);
    const routed = routeTokens(this.gate.apply(tokens), this.expertsPerToken);
    auxiliary?.(loadBalance(routed), routed.shares);
    const outputs = this.applyExperts(embeddingLookup(tokens, routed.tokens), routed.offsets);
    const weighted = mul(outputs, routed.weights);
    return reshape(sum(embeddingLookup(weighted, routed.rows), 1), x.shape);
  }

  /** `down(silu(gate(x)) ∘ up(x))` of each row's expert, [R, D] → [R, D]. */
  private applyExperts(rows: Tensor, offsets: Tensor): Tensor {
    const weightsOf = (name: 'gate' | 'up' | 'down') => this.experts.map((expert) => expert[name].weight);
    const [gate, up] = groupedLinears(rows, [weightsOf('gate'), weightsOf('up')], offsets) as [Tensor, Tensor];
    return groupedLinear(swiGlu(gate, up), weightsOf('down'), offsets);
  }
}

function requireExperts(experts: number, expertsPerToken: number): void {
  requirePositiveWhole('SparseMoe', 'experts', experts);
  requirePositiveWhole('SparseMoe', 'expertsPerToken', expertsPerToken);
  if (expertsPerToken > experts)
    throw new ConfigError('SparseMoe: a token goes to each expert at most once', {
      expected: `expertsPerToken from 1 to ${experts}`,
      got: String(expertsPerToken),
    });
}

/** Switch and Mixtral's auxiliary loss: E · Σ_e (share of tokens routed to e, times k) · (mean probability of e). */
function loadBalance({ probabilities, shares }: RoutedTokens): Scalar {
  return mul(sum(mul(shares, mean(probabilities, 0))), shares.size) as Scalar;
}
