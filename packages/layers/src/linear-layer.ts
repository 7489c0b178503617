import { initializers, linear } from '@vwn/core';
import type { Tensor, Variable } from '@tensorflow/tfjs-core';
import type { ParameterScope } from './parameters';

/** `y = x Wᵀ` without bias; parameter `weight` [out, in]. */
export class LinearLayer {
  readonly weight: Variable;

  constructor({ input, output, std }: { input: number; output: number; std: number }, scope: ParameterScope) {
    this.weight = scope.variable('weight', [output, input], initializers.normal(std));
  }

  apply(x: Tensor): Tensor {
    return linear(x, this.weight);
  }
}
