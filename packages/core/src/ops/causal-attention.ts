import {
  add,
  div,
  exp,
  greater,
  log,
  max,
  mul,
  reshape,
  sub,
  sum,
  tensor,
  tidy,
  transpose,
  where,
  zeros,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { ShapeError } from '../errors';
import { defineKernel } from '../kernel';
import { KernelName } from '../kernel-names';
import { batchMatmul } from './internal/matmul';
import { requireFloats } from './internal/shapes';

type Inputs = 'q' | 'k' | 'v';

/** B, T queries, S keys, H query heads, K key/value heads, G = H/K query heads a key/value head, d. */
interface Sizes {
  readonly B: number;
  readonly T: number;
  readonly S: number;
  readonly H: number;
  readonly K: number;
  readonly G: number;
  readonly d: number;
}

function sizesOf(q: Tensor, k: Tensor): Sizes {
  const [B = 0, T = 0, H = 0, d = 0] = q.shape;
  const [, S = 0, K = 0] = k.shape;
  return { B, T, S, H, K, G: H / K, d };
}

/** [B, T, H, d] → [B·K, G·T, d]: the queries of one key/value head as one matrix, so that keys are never repeated. */
function groupQueries(x: Tensor, { B, T, K, G, d }: Sizes): Tensor {
  return reshape(transpose(reshape(x, [B, T, K, G, d]), [0, 2, 3, 1, 4]), [B * K, G * T, d]);
}

/** The inverse of {@link groupQueries}. */
function ungroupQueries(x: Tensor, { B, T, H, K, G, d }: Sizes): Tensor {
  return reshape(transpose(reshape(x, [B, K, G, T, d]), [0, 3, 1, 2, 4]), [B, T, H, d]);
}

/** [B, S, K, d] → [B·K, S, d]. */
function headsFirst(x: Tensor, { B, S, K, d }: Sizes): Tensor {
  return reshape(transpose(x, [0, 2, 1, 3]), [B * K, S, d]);
}

/** [B, H, T] → [B·K, G·T, 1]. */
function asColumn(x: Tensor, { B, T, K, G }: Sizes): Tensor {
  return reshape(x, [B * K, G * T, 1]);
}

function headsBack(x: Tensor, { B, S, K, d }: Sizes): Tensor {
  return transpose(reshape(x, [B, K, S, d]), [0, 2, 1, 3]);
}

/** q kᵀ/√d + mask, [B·K, G·T, S], from grouped q and k. */
function maskedScores(q: Tensor, k: Tensor, { B, T, S, K, G, d }: Sizes): Tensor {
  const scores = mul(batchMatmul(q, k, false, true), 1 / Math.sqrt(d));
  if (T === 1) return scores; // the only query sees every key
  const masked = add(reshape(scores, [B * K * G, T, S]), tensor(causalMask(T, S), [1, T, S]));
  return reshape(masked, [B * K, G * T, S]);
}

/** Additive mask: query t sees keys 0 … S−T+t. Large but finite, so that no backend meets Inf − Inf. */
function causalMask(T: number, S: number): Float32Array {
  const mask = new Float32Array(T * S);
  for (let t = 0; t < T; t++) mask.fill(-1e30, t * S + (S - T + t) + 1, (t + 1) * S);
  return mask;
}

/** x [B·K, G·T, S], 0 for keys that a query does not see: what is NaN of a query does not reach them. */
function onlySeen(x: Tensor, { B, T, S, K, G }: Sizes): Tensor {
  if (T === 1) return x;
  const seen = greater(tensor(causalMask(T, S), [1, T, S]), -1);
  return reshape(where(seen, reshape(x, [B * K * G, T, S]), zeros([1])), x.shape);
}

/**
 * P = exp(scores − logSums), dScores = P∘(dy vᵀ − dy·y)/√d: with the output and its log-sums saved neither a maximum nor a
 * sum over keys is found again.
 */
const gradKernel = defineKernel<Inputs | 'y' | 'logSums' | 'dy', object>({
  name: KernelName.CausalAttentionGrad,
  inputs: ['q', 'k', 'v', 'y', 'logSums', 'dy'],
  composed: ({ q, k, v, y, logSums, dy }) => {
    const sizes = sizesOf(q, k);
    const [qs, ks, vs] = [groupQueries(q, sizes), headsFirst(k, sizes), headsFirst(v, sizes)];
    const [dOut, out] = [groupQueries(dy, sizes), groupQueries(y, sizes)];
    const p = onlySeen(exp(sub(maskedScores(qs, ks, sizes), asColumn(logSums, sizes))), sizes);
    const difference = sub(batchMatmul(dOut, vs, false, true), sum(mul(dOut, out), -1, true));
    const dScores = onlySeen(mul(mul(p, difference), 1 / Math.sqrt(sizes.d)), sizes);
    return [
      ungroupQueries(batchMatmul(dScores, ks), sizes),
      headsBack(batchMatmul(dScores, qs, true, false), sizes),
      headsBack(batchMatmul(p, dOut, true, false), sizes),
    ];
  },
});

/** Outputs y and, for the gradient, the log of every query's sum of exponentials, [B, H, T], float32. */
const kernel = defineKernel<Inputs, object>({
  name: KernelName.CausalAttention,
  inputs: ['q', 'k', 'v'],
  composed: ({ q, k, v }) => {
    const sizes = sizesOf(q, k);
    const scores = maskedScores(groupQueries(q, sizes), headsFirst(k, sizes), sizes);
    const largest = max(scores, -1, true);
    const exponentials = exp(sub(scores, largest));
    const total = sum(exponentials, -1, true);
    const y = div(batchMatmul(exponentials, headsFirst(v, sizes)), total);
    return [ungroupQueries(y, sizes), reshape(add(largest, log(total)), [sizes.B, sizes.H, sizes.T])];
  },
  gradient: {
    savedOutputs: [true, true],
    backward: ([dy], { q, k, v }, [y, logSums]) => {
      const saved = { y: y as Tensor, logSums: logSums as Tensor };
      const [dq, dk, dv] = gradKernel({ q, k, v, ...saved, dy: dy as Tensor }, {});
      return { q: dq as Tensor, k: dk as Tensor, v: dv as Tensor };
    },
  },
});

/**
 * Scaled dot-product attention with a causal mask and grouped key/value heads:
 * q [B, T, H, d], k and v [B, S, K, d] → [B, T, H, d]; query head h uses key/value head floor(h·K/H). With S > T the
 * first S−T keys come from a cache: query t attends to keys 0 … S−T+t. Scale 1/√d.
 * @throws ShapeError
 */
export function causalAttention(q: Tensor, k: Tensor, v: Tensor): Tensor {
  requireFloats('causalAttention', 'q', q, [null, null, null, null], 'q is [B, T, H, d]');
  const [B = 0, T = 0, H = 0, d = 0] = q.shape;
  requireFloats('causalAttention', 'k', k, [B, null, null, d], 'k is [B, S, K, d] with the batch and head width of q');
  requireFloats('causalAttention', 'v', v, k.shape, 'v has the shape of k');
  const [, S = 0, K = 0] = k.shape;
  if (K === 0 || H % K !== 0)
    throw new ShapeError('causalAttention: query heads do not divide among key/value heads', {
      expected: 'a number of key/value heads that divides the query heads',
      got: `${H} query heads, ${K} key/value heads`,
    });
  if (S < T)
    throw new ShapeError('causalAttention: fewer keys than queries', {
      expected: `at least ${T} keys`,
      got: String(S),
      hint: 'Keys of earlier tokens come first, those of the queries themselves last',
    });
  // The kernel's second output, the log-sums, is the gradient's alone.
  return tidy(() => kernel({ q, k, v }, {})[0] as Tensor);
}
