import { addN, scalar, sqrt, square, sum, type Scalar, type Tensor } from '@tensorflow/tfjs-core';
import { defineKernel } from '../kernel';
import { KernelName } from '../kernel-names';
import { requireFloat } from './internal/shapes';

const kernel = defineKernel<string, object>({
  name: KernelName.GlobalNorm,
  inputs: [],
  composed: (tensors) => sqrt(addN(Object.values(tensors).map((tensor) => sum(square(tensor))))),
});

/** √(Σ squares) over all elements of all tensors: what `torch.nn.utils.clip_grad_norm_` measures. @throws ShapeError */
export function globalNorm(tensors: readonly Tensor[]): Scalar {
  if (tensors.length === 0) return scalar(0);
  tensors.forEach((tensor, i) => requireFloat('globalNorm', `tensors[${i}]`, tensor));
  return kernel(Object.fromEntries(tensors.map((tensor, i) => [`x${i}`, tensor])), {})[0] as Scalar;
}
