import { add, div, isFinite, logicalAnd, minimum, scalar, where, type Scalar } from '@tensorflow/tfjs-core';
import { defineKernel } from '../kernel';
import { KernelName } from '../kernel-names';

const kernel = defineKernel<'norm' | 'loss', { readonly maxNorm: number }>({
  name: KernelName.ClipScale,
  inputs: ['norm', 'loss'],
  composed: ({ norm, loss }, { maxNorm }) => {
    const scale = maxNorm > 0 ? minimum(1, div(maxNorm, add(norm, 1e-6))) : scalar(1);
    return where(logicalAnd(isFinite(norm), isFinite(loss)), scale, scalar(Number.NaN));
  },
});

/**
 * What gradients of this global norm are multiplied by so that it becomes `maxNorm` at most, as
 * `torch.nn.utils.clip_grad_norm_` does; 1 where maxNorm is 0. NaN where the norm or the loss is not finite, which
 * {@link adamWAll} takes for "change nothing": nobody has to wait for the norm in between.
 */
export function clipScale(norm: Scalar, loss: Scalar, maxNorm: number): Scalar {
  return kernel({ norm, loss }, { maxNorm })[0] as Scalar;
}
