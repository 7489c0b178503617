/**
 * The composed arithmetic of Generalized Hyper-Connections (vwn.md §3) and its hand-derived gradients, on rows of
 * tokens: P = tokens, s [P, n, db] the over-width state, c the number of coefficient columns. Nothing here is on the
 * tape; the kernels in width-connection.ts, depth-connection.ts and connection-step.ts are made of these.
 */
import { add, mul, reshape, slice, square, sub, transpose, type Tensor } from '@tensorflow/tfjs-core';
import { normalizedGradient, reciprocalRms } from '../rms-norm';
import { batchMatmul, leftTransposed, matmul, permute } from './matmul';
import { sumRows } from './reductions';
import { lastOf, rowsOf } from './shapes';
import { tanh } from './tanh';

/** [..., count·db] → [P, count, db]. */
export function segmentsOf(x: Tensor, count: number): Tensor {
  return reshape(x, [rowsOf(x), count, lastOf(x) / count]);
}

/** Columns [from, from + size) of a matrix or of a stack of matrices. */
export function columns(x: Tensor, from: number, size: number): Tensor {
  const lead = x.shape.slice(0, -1);
  return slice(x, [...lead.map(() => 0), from], [...lead, size]);
}

/**
 * What c coefficient columns are made of: the static part [n, c], the scale S [n, c] and the product W [db, c]. The
 * read A° (m columns), the carry Â (n columns) and the write B (m columns) are computed apart, so that none of the
 * large token-dependent tensors has to be cut or joined.
 */
export interface CoefficientParameters {
  readonly offset: Tensor;
  readonly scale: Tensor;
  readonly fn: Tensor;
}

/** Columns [from, from + size) of a dynamic alpha's tensors. */
export function alphaColumns(
  { staticAlpha, alphaScale, alphaFn }: Record<'staticAlpha' | 'alphaScale' | 'alphaFn', Tensor>,
  from: number,
  size: number,
): CoefficientParameters {
  return {
    offset: columns(staticAlpha, from, size),
    scale: columns(alphaScale, from, size),
    fn: columns(alphaFn, from, size),
  };
}

/** The state's slots over their root mean square, [P·n, db], and the reciprocal root mean square, [P·n, 1]. */
export interface NormalizedSlots {
  readonly values: Tensor;
  readonly reciprocal: Tensor;
}

/** The norm before its weight: s [P, n, db]. */
export function normalizeSlots(s: Tensor, eps: number): NormalizedSlots {
  const [P = 0, n = 0, db = 0] = s.shape;
  const rows = reshape(s, [P * n, db]);
  const reciprocal = reciprocalRms(rows, eps);
  return { values: mul(rows, reciprocal), reciprocal };
}

export interface Coefficients {
  readonly parameters: CoefficientParameters;
  /** S ∘ tanh(norm(s) W / τ) + static, [P, n, c]. */
  readonly value: Tensor;
  /** tanh(·), [P, n·c]. */
  readonly activation: Tensor;
}

/** Eqs. 11–14: coefficients that depend on the token. */
export function coefficients(
  { values }: NormalizedSlots,
  normWeight: Tensor,
  parameters: CoefficientParameters,
): Coefficients {
  const { offset, scale, fn } = parameters;
  const [n = 0, c = 0] = offset.shape;
  const P = (values.shape[0] as number) / n;
  const activation = reshape(tanh(matmul(values, foldedFn(fn, normWeight))), [P, n * c]);
  const value = add(mul(activation, reshape(scale, [n * c])), reshape(offset, [n * c]));
  return { parameters, value: reshape(value, [P, n, c]), activation };
}

/** diag(norm weight) · W / τ, τ = √db: the norm's weight folded into the small matrix, [db, c]. */
function foldedFn(fn: Tensor, normWeight: Tensor): Tensor {
  const db = normWeight.size;
  return mul(fn, mul(reshape(normWeight, [db, 1]), 1 / Math.sqrt(db)));
}

/** One kind of coefficients and the gradient of its value, [P, n, c]. */
export interface CoefficientBranch extends Coefficients {
  readonly upstream: Tensor;
}

export interface CoefficientGradients<K extends string> {
  /** Through the norm, [P, n, db]. */
  readonly s: Tensor;
  readonly normWeight: Tensor;
  readonly parameters: Record<K, CoefficientParameters>;
}

/** Gradients of one or more kinds of coefficients that share a norm. */
export function coefficientGradients<K extends string>(
  { values, reciprocal }: NormalizedSlots,
  normWeight: Tensor,
  branches: Record<K, CoefficientBranch>,
): CoefficientGradients<K> {
  const timesValues = leftTransposed(values);
  const names = Object.keys(branches) as K[];
  const each = names.map((name) => branchGradients(branches[name], normWeight, timesValues));
  const [n = 1] = branches[names[0] as K].parameters.offset.shape;
  const [rows = 0, db = 0] = values.shape;
  const dValues = total(each.map((branch) => branch.values));
  return {
    s: reshape(normalizedGradient(dValues, values, reciprocal), [rows / n, n, db]),
    normWeight: total(each.map((branch) => branch.normWeight)),
    parameters: Object.fromEntries(names.map((name, i) => [name, each[i]?.parameters])) as Record<
      K,
      CoefficientParameters
    >,
  };
}

/** `dPre = upstream ∘ S ∘ (1 − tanh²)`; `dW = valuesᵀ dPre` by way of the folded matrix. */
function branchGradients(
  { activation, parameters: { offset, scale, fn }, upstream }: CoefficientBranch,
  normWeight: Tensor,
  timesValues: (dPre: Tensor) => Tensor,
) {
  const [n = 0, c = 0] = offset.shape;
  const db = normWeight.size;
  const flat = reshape(upstream, activation.shape);
  const through = mul(mul(flat, reshape(scale, [n * c])), sub(1, square(activation)));
  const dPre = reshape(through, [through.size / c, c]);
  const dFolded = mul(timesValues(dPre), 1 / Math.sqrt(db));
  return {
    values: matmul(dPre, foldedFn(fn, normWeight), false, true),
    normWeight: sumRows(transpose(mul(dFolded, fn))),
    parameters: {
      offset: reshape(sumRows(flat), [n, c]),
      scale: reshape(sumRows(mul(flat, activation)), [n, c]),
      fn: mul(dFolded, reshape(normWeight, [db, 1])),
    },
  };
}

function total(terms: Tensor[]): Tensor {
  return terms.reduce((sum, term) => add(sum, term));
}

/** `mix = alphaᵀ s`: alpha [P, n, c] or, static, [n, c]; s [P, n, db] → [P, c, db]. */
export function mixSlots(alpha: Tensor, s: Tensor): Tensor {
  return alpha.rank === 3 ? batchMatmul(alpha, s, true, false) : routeAll(s, alpha);
}

/** Gradients of {@link mixSlots}; that of a static alpha is summed over tokens. */
export function mixSlotsGradients(alpha: Tensor, s: Tensor, dMix: Tensor): { alpha: Tensor; s: Tensor } {
  if (alpha.rank === 3) return { alpha: batchMatmul(s, dMix, false, true), s: batchMatmul(alpha, dMix) };
  return { alpha: sumOfProducts(s, dMix), s: routeAll(dMix, transpose(alpha)) };
}

/** `beta · o`: beta [P, n, m] or, static, [n, m]; o [P, m, db] → [P, n, db]. */
export function writeSegments(beta: Tensor, o: Tensor): Tensor {
  return beta.rank === 3 ? batchMatmul(beta, o) : routeAll(o, transpose(beta));
}

/** Gradients of {@link writeSegments}; that of a static beta is summed over tokens. */
export function writeSegmentsGradients(beta: Tensor, o: Tensor, dH: Tensor): { beta: Tensor; o: Tensor } {
  if (beta.rank === 3) return { beta: batchMatmul(dH, o, false, true), o: batchMatmul(beta, dH, true, false) };
  return { beta: sumOfProducts(dH, o), o: routeAll(dH, beta) };
}

/** One matrix [i, j] for all tokens, x [P, i, db] → [P, j, db], as one 2-D product [P·db, i] [i, j]. */
function routeAll(x: Tensor, matrix: Tensor): Tensor {
  const [P = 0, i = 0, db = 0] = x.shape;
  const routed = matmul(reshape(permute(x, [0, 2, 1]), [P * db, i]), matrix);
  return permute(reshape(routed, [P, db, matrix.shape[1] as number]), [0, 2, 1]);
}

/** Σ over tokens of a_p b_pᵀ: [P, i, db], [P, j, db] → [i, j], as one 2-D product [i, P·db] [P·db, j]. */
function sumOfProducts(a: Tensor, b: Tensor): Tensor {
  const [P = 0, i = 0, db = 0] = a.shape;
  const j = b.shape[1] as number;
  return matmul(reshape(permute(a, [1, 0, 2]), [i, P * db]), reshape(permute(b, [0, 2, 1]), [P * db, j]));
}
