import { requireSlots } from './segments';

/**
 * Initial static alpha, [n, m+n] row-major (eq. 16): `A = [A° | Â]`, A° = [I_m ; 0] reads slot i into segment i,
 * Â = I_n carries every slot unchanged.
 * @throws ConfigError unless n ≥ m, both positive whole numbers
 */
export function staticAlpha(m: number, n: number): Float32Array {
  requireSlots(m, n);
  const alpha = new Float32Array(n * (m + n));
  for (let i = 0; i < m; i++) alpha[i * (m + n) + i] = 1;
  for (let j = 0; j < n; j++) alpha[j * (m + n) + m + j] = 1;
  return alpha;
}

/** Initial static beta, [n, m] row-major = Bᵀ (eq. 15): slot j receives segment j mod m, cyclically. @throws as {@link staticAlpha} */
export function staticBeta(m: number, n: number): Float32Array {
  requireSlots(m, n);
  const beta = new Float32Array(n * m);
  for (let j = 0; j < n; j++) beta[j * m + (j % m)] = 1;
  return beta;
}
