import { initializers, requireEpsilon, requirePositiveWhole, rmsNorm, type SublayerNorm } from '@vwn/core';
import type { Tensor, Variable } from '@tensorflow/tfjs-core';
import type { ParameterScope } from './parameters';

/** Root mean square norm over the last axis; parameter `weight` [width]. */
export class RmsNormLayer implements SublayerNorm {
  readonly weight: Variable;
  readonly eps: number;

  /** @throws ConfigError */
  constructor({ width, eps }: { width: number; eps: number }, scope: ParameterScope) {
    requirePositiveWhole('RmsNormLayer', 'width', width);
    requireEpsilon('RmsNormLayer', 'eps', eps);
    this.weight = scope.variable('weight', [width], initializers.ones);
    this.eps = eps;
  }

  apply(x: Tensor): Tensor {
    return rmsNorm(x, this.weight, this.eps);
  }
}
