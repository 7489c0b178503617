import { initializers, rmsNorm, type SublayerNorm } from '@vwn/core';
import type { Tensor, Variable } from '@tensorflow/tfjs-core';
import type { ParameterScope } from './parameters';

/** Root mean square norm over the last axis; parameter `weight` [width]. */
export class RmsNormLayer implements SublayerNorm {
  readonly weight: Variable;
  readonly eps: number;

  constructor({ width, eps }: { width: number; eps: number }, scope: ParameterScope) {
    this.weight = scope.variable('weight', [width], initializers.ones);
    this.eps = eps;
  }

  apply(x: Tensor): Tensor {
    return rmsNorm(x, this.weight, this.eps);
  }
}
