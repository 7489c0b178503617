import { DataError } from '@vwn/core';

export interface LinearFit {
  readonly slope: number;
  readonly intercept: number;
  /** Coefficient of determination R². */
  readonly r2: number;
}

/**
 * Least squares of `y = slope · log2(x) + intercept`: the paper's scaling law of loss over virtual width factor r
 * (Fig. 8: −0.0069 · log2(r) + 1.6212).
 * @throws DataError for fewer than two distinct x, or an x that is not positive and finite
 */
export function logLinearFit(points: readonly { readonly x: number; readonly y: number }[]): LinearFit {
  if (points.some(({ x, y }) => !(x > 0 && x < Infinity) || !Number.isFinite(y)))
    throw new DataError('a log-linear fit needs finite x above 0 and finite y', {
      got: JSON.stringify(points.slice(0, 5)),
    });
  const xs = points.map(({ x }) => Math.log2(x));
  const ys = points.map(({ y }) => y);
  const [meanX, meanY] = [mean(xs), mean(ys)];
  const spread = xs.reduce((sum, x) => sum + (x - meanX) ** 2, 0);
  if (!(spread > 0)) throw new DataError('a fit needs at least two distinct x', { got: `${points.length} points` });
  const slope = xs.reduce((sum, x, i) => sum + (x - meanX) * ((ys[i] as number) - meanY), 0) / spread;
  const intercept = meanY - slope * meanX;
  const total = ys.reduce((sum, y) => sum + (y - meanY) ** 2, 0);
  const residual = ys.reduce((sum, y, i) => sum + (y - slope * (xs[i] as number) - intercept) ** 2, 0);
  return { slope, intercept, r2: total === 0 ? 1 : 1 - residual / total };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, each) => sum + each, 0) / values.length;
}
