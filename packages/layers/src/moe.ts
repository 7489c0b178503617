import { embeddingLookup } from '@vwn/core';
import { concat, div, mean, mul, reshape, softmax, sum, tensor, type Scalar, type Tensor } from '@tensorflow/tfjs-core';
import { mixtralNames, SwiGluFeedForward, type FeedForwardOptions } from './feed-forward';
import { LinearLayer } from './linear-layer';
import { Parameters, type ParameterScope } from './parameters';
import { routeTokens, type Routing } from './routing';

export interface MoeOptions extends FeedForwardOptions {
  readonly experts: number;
  readonly expertsPerToken: number;
}

/** Called with each layer's load-balancing loss; a training step adds them up. */
export type AuxiliaryLosses = (loadBalance: Scalar) => void;

/**
 * Sparse mixture of experts with Mixtral's routing: softmax over all experts, the top k kept and renormalised to one.
 * Which expert gets which token is read back and decided in JavaScript; everything else stays on the device.
 */
export class SparseMoe {
  private readonly gate: LinearLayer;
  private readonly experts: readonly SwiGluFeedForward[];
  private readonly expertsPerToken: number;

  constructor(options: MoeOptions, scope: ParameterScope = new Parameters()) {
    const { hiddenSize, experts, expertsPerToken, initializerRange: std = 0.02 } = options;
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
    const rows = reshape(x, [x.size / D, D]);
    const probabilities = softmax(this.gate.apply(rows));
    const experts = this.experts.length;
    const routing = routeTokens(probabilities.dataSync() as Float32Array, experts, this.expertsPerToken);
    auxiliary?.(loadBalance(probabilities, routing, experts));
    const weights = routedWeights(probabilities, routing, experts);
    const outputs = this.experts.flatMap((expert, e) => {
      const tokens = routing.tokensOfExpert[e] as Int32Array;
      return tokens.length === 0 ? [] : [expert.apply(embeddingLookup(rows, tensor(tokens, [tokens.length], 'int32')))];
    });
    const weighted = mul(concat(outputs, 0), weights);
    const { length } = routing.rowOfToken;
    const positions = tensor(routing.rowOfToken, [length / this.expertsPerToken, this.expertsPerToken], 'int32');
    return reshape(sum(embeddingLookup(weighted, positions), 1), x.shape);
  }
}

/** Renormalised probability of each (expert, token) pair, in the order of the experts' outputs, [N·k, 1]. */
function routedWeights(probabilities: Tensor, { chosen, pairs }: Routing, experts: number): Tensor {
  const rows = probabilities.shape[0] as number;
  const kept = mul(probabilities, tensor(chosen, [rows, experts]));
  const normalized = reshape(div(kept, sum(kept, -1, true)), [rows * experts, 1]);
  return embeddingLookup(normalized, tensor(pairs, [pairs.length], 'int32'));
}

/** Switch and Mixtral's auxiliary loss: E · Σ_e (share of tokens routed to e, times k) · (mean probability of e). */
function loadBalance(probabilities: Tensor, { chosen }: Routing, experts: number): Scalar {
  const rows = probabilities.shape[0] as number;
  const share = mean(tensor(chosen, [rows, experts]), 0);
  return mul(sum(mul(share, mean(probabilities, 0))), experts) as Scalar;
}
