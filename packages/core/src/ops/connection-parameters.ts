import type { Tensor } from '@tensorflow/tfjs-core';
import { requireShape } from './internal/shapes';

/**
 * The tensors of one Generalized Hyper-Connection, in the layout of checkpoints: A [n, m+n], Bᵀ [n, m], and for a
 * dynamic one the norm's weight [db], W_α [db, m+n], W_β [db, m], S_α [n, m+n], S_βᵀ [n, m].
 */
export interface ConnectionParameters {
  readonly staticAlpha: Tensor;
  readonly staticBeta: Tensor;
  readonly dynamic?: DynamicParameters;
}

export interface DynamicParameters {
  readonly normWeight: Tensor;
  readonly alphaFn: Tensor;
  readonly betaFn: Tensor;
  readonly alphaScale: Tensor;
  readonly betaScale: Tensor;
}

export interface ConnectionSizes {
  /** Fraction rate: segments of the backbone vector. */
  readonly m: number;
  /** Slots of the over-width state. */
  readonly n: number;
  /** Added to the mean square in the norm before the dynamic coefficients. */
  readonly eps: number;
}

/** The RMSNorm with which a sublayer begins, over the whole backbone width: weight [D]. */
export interface SublayerNorm {
  readonly weight: Tensor;
  readonly eps: number;
}

/** @throws ShapeError unless every tensor has the shape above. */
export function requireConnectionParameters(
  op: string,
  { staticAlpha, staticBeta, dynamic }: ConnectionParameters,
  { m, n, db }: { m: number; n: number; db: number },
): void {
  requireShape(op, 'staticAlpha', staticAlpha, [n, m + n], 'A is [n, m+n]');
  requireShape(op, 'staticBeta', staticBeta, [n, m], 'Bᵀ is [n, m]');
  if (!dynamic) return;
  requireShape(op, 'normWeight', dynamic.normWeight, [db], 'One weight for each of the db = D/m channels of a segment');
  requireShape(op, 'alphaFn', dynamic.alphaFn, [db, m + n]);
  requireShape(op, 'betaFn', dynamic.betaFn, [db, m]);
  requireShape(op, 'alphaScale', dynamic.alphaScale, [n, m + n]);
  requireShape(op, 'betaScale', dynamic.betaScale, [n, m]);
}
