import { engine, mul, sigmoid, sub, tanh as standardTanh, type Tensor } from '@tensorflow/tfjs-core';

/**
 * Hyperbolic tangent. tfjs's wasm backend computes it one element at a time and the sigmoid with XNNPACK, 5 times as
 * fast, so there it is `2σ(2x) − 1`: exact at 0, elsewhere within 1.2e-7, the rounding of the coefficients it is added to.
 */
export function tanh(x: Tensor): Tensor {
  if (engine().backendName !== 'wasm') return standardTanh(x);
  return sub(mul(sigmoid(mul(x, 2)), 2), 1);
}
