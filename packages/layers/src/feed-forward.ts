import { linears, requireNotNegative, requirePositiveWhole, swiGlu } from '@vwn/core';
import type { Tensor } from '@tensorflow/tfjs-core';
import { LinearLayer } from './linear-layer';
import { Parameters, type ParameterScope } from './parameters';

export interface FeedForwardOptions {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly initializerRange?: number;
  readonly outputRange?: number;
}

/** Names of the three projections: Llama's, or those of a Mixtral expert. */
export const llamaNames = { gate: 'gate_proj', up: 'up_proj', down: 'down_proj' } as const;
export const mixtralNames = { gate: 'w1', up: 'w3', down: 'w2' } as const;

/** `down(silu(gate(x)) ∘ up(x))`, [..., D] → [..., D]. */
export class SwiGluFeedForward {
  readonly gate: LinearLayer;
  readonly up: LinearLayer;
  readonly down: LinearLayer;

  /** @throws ConfigError */
  constructor(
    options: FeedForwardOptions,
    scope: ParameterScope = new Parameters(),
    names: Record<'gate' | 'up' | 'down', string> = llamaNames,
  ) {
    const { hiddenSize: D, intermediateSize: I, initializerRange: std = 0.02, outputRange = std } = options;
    requirePositiveWhole('SwiGluFeedForward', 'hiddenSize', D);
    requirePositiveWhole('SwiGluFeedForward', 'intermediateSize', I);
    requireNotNegative('SwiGluFeedForward', 'initializerRange', std);
    requireNotNegative('SwiGluFeedForward', 'outputRange', outputRange);
    this.gate = new LinearLayer({ input: D, output: I, std }, scope.scope(names.gate));
    this.up = new LinearLayer({ input: D, output: I, std }, scope.scope(names.up));
    this.down = new LinearLayer({ input: I, output: D, std: outputRange }, scope.scope(names.down));
  }

  apply(x: Tensor): Tensor {
    const [gate, up] = linears(x, [this.gate.weight, this.up.weight]) as [Tensor, Tensor];
    return this.down.apply(swiGlu(gate, up));
  }
}
