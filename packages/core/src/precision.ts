import { engine } from '@tensorflow/tfjs-core';
import { BackendError } from './errors';

/**
 * How a backend stores activations and their gradients. `bf16` is storage, not API: tensors stay `float32` and are read
 * back as float32; sums, norms, softmax, coefficients, optimizer state and parameters are float32 in either.
 */
export type Precision = 'fp32' | 'bf16';

interface WithPrecision {
  readonly precision: Precision;
  setPrecision(precision: Precision): void;
}

/** @throws BackendError when the current backend has fp32 only */
export function setPrecision(precision: Precision): void {
  const backend = engine().backend as unknown as Partial<WithPrecision>;
  if (backend.setPrecision) return backend.setPrecision(precision);
  if (precision === 'fp32') return;
  throw new BackendError(`backend ${engine().backendName} has no precision ${precision}`, {
    expected: 'fp32',
    hint: 'Use the backend vwn-cpu, or leave precision at fp32',
  });
}

/** Precision of the current backend. */
export function getPrecision(): Precision {
  return (engine().backend as unknown as Partial<WithPrecision>).precision ?? 'fp32';
}
