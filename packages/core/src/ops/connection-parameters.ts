import type { Tensor } from '@tensorflow/tfjs-core';
import { requireEpsilon, requirePositiveWhole } from '../arguments';
import { requireFloats } from './internal/shapes';

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

/** @throws ShapeError unless every tensor has the shape above; ConfigError when a size cannot be one. */
export function requireConnectionParameters(
  op: string,
  { staticAlpha, staticBeta, dynamic }: ConnectionParameters,
  { m, n, eps, db }: ConnectionSizes & { readonly db: number },
): void {
  requirePositiveWhole(op, 'm', m);
  requireEpsilon(op, 'eps', eps);
  requireFloats(op, 'staticAlpha', staticAlpha, [n, m + n], 'A is [n, m+n]');
  requireFloats(op, 'staticBeta', staticBeta, [n, m], 'Bᵀ is [n, m]');
  if (!dynamic) return;
  requireFloats(
    op,
    'normWeight',
    dynamic.normWeight,
    [db],
    'One weight for each of the db = D/m channels of a segment',
  );
  requireFloats(op, 'alphaFn', dynamic.alphaFn, [db, m + n]);
  requireFloats(op, 'betaFn', dynamic.betaFn, [db, m]);
  requireFloats(op, 'alphaScale', dynamic.alphaScale, [n, m + n]);
  requireFloats(op, 'betaScale', dynamic.betaScale, [n, m]);
}
