import { addN, scalar, sqrt, square, sum, tidy, type Scalar, type Tensor } from '@tensorflow/tfjs-core';

/** √(Σ squares) over all elements of all tensors: what `torch.nn.utils.clip_grad_norm_` measures. */
export function globalNorm(tensors: readonly Tensor[]): Scalar {
  if (tensors.length === 0) return scalar(0);
  return tidy(() => sqrt(addN(tensors.map((tensor) => sum(square(tensor))))) as Scalar);
}
