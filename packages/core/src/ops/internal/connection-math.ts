/**
 * The composed arithmetic of Generalized Hyper-Connections (vwn.md §3) and its hand-derived gradients, on rows of
 * tokens: P = tokens, s [P, n, db] the over-width state, c the number of coefficient columns. Nothing here is on the
 * tape; the kernels in width-connection.ts, depth-connection.ts and connection-step.ts are made of these.
 */
import { add, mul, reshape, slice, square, sub, tanh, transpose, type Tensor } from '@tensorflow/tfjs-core';
import { normalizedGradient, reciprocalRms } from '../rms-norm';
import { batchMatmul, matmul } from './matmul';
import { sumRows } from './reductions';
import { lastOf, rowsOf } from './shapes';

/** [..., count·db] → [P, count, db]. */
export function segmentsOf(x: Tensor, count: number): Tensor {
  return reshape(x, [rowsOf(x), count, lastOf(x) / count]);
}

/** Columns [from, from + size) of a matrix or of a stack of matrices. */
export function columns(x: Tensor, from: number, size: number): Tensor {
  const lead = x.shape.slice(0, -1);
  return slice(x, [...lead.map(() => 0), from], [...lead, size]);
}

/** Tensors of c coefficient columns a slot: offset = static part [n, c], scale S [n, c], fn W [db, c], norm weight [db]. */
export interface CoefficientParameters {
  readonly offset: Tensor;
  readonly scale: Tensor;
  readonly fn: Tensor;
  readonly normWeight: Tensor;
}

export interface Coefficients {
  /** S ∘ tanh(norm(s) W / τ) + static, [P, n, c]. */
  readonly value: Tensor;
  /** tanh(·), [P, n·c]. */
  readonly activation: Tensor;
  /** s over its root mean square, [P·n, db], and the reciprocal root mean square, [P·n, 1]. */
  readonly normalized: Tensor;
  readonly reciprocal: Tensor;
}

/** Eqs. 11–14: coefficients that depend on the token. */
export function coefficients(s: Tensor, parameters: CoefficientParameters, eps: number): Coefficients {
  const [P = 0, n = 0, db = 0] = s.shape;
  const c = parameters.fn.shape[1] as number;
  const rows = reshape(s, [P * n, db]);
  const reciprocal = reciprocalRms(rows, eps);
  const normalized = mul(rows, reciprocal);
  const activation = reshape(tanh(matmul(normalized, scaledFn(parameters))), [P, n * c]);
  const { scale, offset } = parameters;
  const value = reshape(add(mul(activation, reshape(scale, [n * c])), reshape(offset, [n * c])), [P, n, c]);
  return { value, activation, normalized, reciprocal };
}

/** diag(norm weight) · W / τ, τ = √db: the norm's weight folded into the small matrix, [db, c]. */
function scaledFn({ fn, normWeight }: CoefficientParameters): Tensor {
  const db = normWeight.size;
  return mul(fn, mul(reshape(normWeight, [db, 1]), 1 / Math.sqrt(db)));
}

export interface CoefficientGradients {
  /** Through the norm, [P, n, db]. */
  readonly s: Tensor;
  readonly offset: Tensor;
  readonly scale: Tensor;
  readonly fn: Tensor;
  readonly normWeight: Tensor;
}

export function coefficientGradients(
  dValue: Tensor,
  { activation, normalized, reciprocal }: Coefficients,
  parameters: CoefficientParameters,
): CoefficientGradients {
  const [P = 0, n = 0, c = 0] = dValue.shape;
  const db = parameters.normWeight.size;
  const flat = reshape(dValue, [P, n * c]);
  const dScaled = mul(mul(flat, reshape(parameters.scale, [n * c])), sub(1, square(activation)));
  const dPre = reshape(dScaled, [P * n, c]);
  const folded = matmul(normalized, dPre, true, false); // gradient of scaledFn, [db, c]
  const byChannel = mul(folded, 1 / Math.sqrt(db));
  const dNormalized = matmul(dPre, scaledFn(parameters), false, true);
  return {
    s: reshape(normalizedGradient(dNormalized, normalized, reciprocal), [P, n, db]),
    offset: reshape(sumRows(flat), [n, c]),
    scale: reshape(sumRows(mul(flat, activation)), [n, c]),
    fn: mul(byChannel, reshape(parameters.normWeight, [db, 1])),
    normWeight: sumRows(transpose(mul(byChannel, parameters.fn))),
  };
}

/** `mix = alphaᵀ s`: alpha [P, n, c] or, static, [n, c]; s [P, n, db] → [P, c, db]. */
export function mixSlots(alpha: Tensor, s: Tensor): Tensor {
  return batchMatmul(alpha.rank === 2 ? reshape(alpha, [1, ...alpha.shape]) : alpha, s, true, false);
}

/** Gradients of {@link mixSlots}; that of a static alpha is summed over tokens. */
export function mixSlotsGradients(alpha: Tensor, s: Tensor, dMix: Tensor): { alpha: Tensor; s: Tensor } {
  if (alpha.rank === 3) return { alpha: batchMatmul(s, dMix, false, true), s: batchMatmul(alpha, dMix) };
  return { alpha: sumOfProducts(s, dMix), s: batchMatmul(reshape(alpha, [1, ...alpha.shape]), dMix) };
}

/** `beta · o`: beta [P, n, m] or, static, [n, m]; o [P, m, db] → [P, n, db]. */
export function writeSegments(beta: Tensor, o: Tensor): Tensor {
  return batchMatmul(beta.rank === 2 ? reshape(beta, [1, ...beta.shape]) : beta, o);
}

/** Gradients of {@link writeSegments}; that of a static beta is summed over tokens. */
export function writeSegmentsGradients(beta: Tensor, o: Tensor, dH: Tensor): { beta: Tensor; o: Tensor } {
  if (beta.rank === 3) return { beta: batchMatmul(dH, o, false, true), o: batchMatmul(beta, dH, true, false) };
  return { beta: sumOfProducts(dH, o), o: batchMatmul(reshape(beta, [1, ...beta.shape]), dH, true, false) };
}

/** Σ over tokens of a_p b_pᵀ: [P, i, db], [P, j, db] → [i, j], as one 2-D product. */
function sumOfProducts(a: Tensor, b: Tensor): Tensor {
  return matmul(slotsFirst(a), slotsFirst(b), false, true);
}

/** [P, i, db] → [i, P·db]. */
function slotsFirst(x: Tensor): Tensor {
  const [P = 0, i = 0, db = 0] = x.shape;
  return reshape(transpose(x, [1, 0, 2]), [i, P * db]);
}
