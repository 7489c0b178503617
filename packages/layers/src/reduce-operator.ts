import {
  ConfigError,
  groupLayerNorm,
  groupRmsNorm,
  initializers,
  linear,
  requireChoice,
  requireEpsilon,
  requireNotNegative,
  segmentWidths,
} from '@vwn/core';
import type { Tensor, Variable } from '@tensorflow/tfjs-core';
import { Parameters, type ParameterScope } from './parameters';

export interface ReduceOperatorOptions {
  readonly hiddenSize: number;
  readonly m: number;
  readonly n: number;
  /** Norm in groups of D: `rms` (default), `layer` (GroupNorm to the letter), `none` (needed when n/m is not whole). */
  readonly norm?: 'rms' | 'layer' | 'none';
  readonly eps?: number;
  readonly initializerRange?: number;
}

/**
 * Reduce operator (§3.2): `h = W_reduce · GroupNorm(H')`, [..., D'] → [..., D].
 * Parameters: `reduce.weight` [D, D'], `reduce_norm.weight` [D'] and for `layer` `reduce_norm.bias` [D'].
 */
export class ReduceOperator {
  private readonly weight: Variable;
  private readonly normalize: (h: Tensor) => Tensor;

  /** @throws ConfigError */
  constructor(options: ReduceOperatorOptions, scope: ParameterScope = new Parameters()) {
    const { hiddenSize, m, n, norm = 'rms', eps = 1e-6, initializerRange = 0.02 } = options;
    const { overWidth } = segmentWidths({ hiddenSize, m, n });
    requireChoice('ReduceOperator', 'norm', norm, ['rms', 'layer', 'none']);
    requireEpsilon('ReduceOperator', 'eps', eps);
    requireNotNegative('ReduceOperator', 'initializerRange', initializerRange);
    if (norm !== 'none' && n % m !== 0) throw noWholeGroups(m, n);
    this.normalize =
      norm === 'none' ? (h) => h : groupNorm(norm, overWidth, hiddenSize, eps, scope.scope('reduce_norm'));
    this.weight = scope.variable('reduce.weight', [hiddenSize, overWidth], initializers.normal(initializerRange));
  }

  apply(h: Tensor): Tensor {
    return linear(this.normalize(h), this.weight);
  }
}

function noWholeGroups(m: number, n: number): ConfigError {
  return new ConfigError('ReduceOperator: the state does not fall into whole groups of the hidden size', {
    expected: 'a number of slots n that m divides',
    got: `m = ${m}, n = ${n}`,
    hint: 'With a fractional n/m use the norm "none"',
  });
}

function groupNorm(norm: 'rms' | 'layer', width: number, groupSize: number, eps: number, scope: ParameterScope) {
  const weight = scope.variable('weight', [width], initializers.ones);
  if (norm === 'rms') return (h: Tensor) => groupRmsNorm(h, weight, groupSize, eps);
  const bias = scope.variable('bias', [width], initializers.zeros);
  return (h: Tensor) => groupLayerNorm(h, weight, bias, groupSize, eps);
}
