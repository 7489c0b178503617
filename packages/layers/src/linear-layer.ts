import { initializers, linear, requireNotNegative, requirePositiveWhole } from '@vwn/core';
import type { Tensor, Variable } from '@tensorflow/tfjs-core';
import type { ParameterScope } from './parameters';

/** `y = x Wᵀ` without bias; parameter `weight` [out, in]. */
export class LinearLayer {
  readonly weight: Variable;

  /** @throws ConfigError */
  constructor({ input, output, std }: { input: number; output: number; std: number }, scope: ParameterScope) {
    requirePositiveWhole('LinearLayer', 'input', input);
    requirePositiveWhole('LinearLayer', 'output', output);
    requireNotNegative('LinearLayer', 'std', std);
    this.weight = scope.variable('weight', [output, input], initializers.normal(std));
  }

  apply(x: Tensor): Tensor {
    return linear(x, this.weight);
  }
}
