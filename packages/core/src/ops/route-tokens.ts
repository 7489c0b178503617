import {
  add,
  div,
  gather,
  mul,
  reshape,
  scatterND,
  softmax,
  sub,
  sum,
  tensor,
  zeros,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { ShapeError } from '../errors';
import { defineKernel } from '../kernel';
import { KernelName } from '../kernel-names';
import { detach } from './internal/detach';
import { pairsOf, routingOf } from './internal/routing';
import { requireFloats } from './internal/shapes';

/** N tokens, E experts, k experts a token: R = N·k rows, sorted by expert and then by token. */
export interface RoutedTokens {
  /** Softmax over the experts, [N, E]. */
  readonly probabilities: Tensor;
  /** Of each row, the probability of its expert over that of all k of its token, [R, 1]. */
  readonly weights: Tensor;
  /** Token of each row, int32 [R]. */
  readonly tokens: Tensor;
  /** For each token its k rows, rising, int32 [N, k]. */
  readonly rows: Tensor;
  /** First row of each expert, and R: what {@link groupedLinears} takes, int32 [E + 1]. */
  readonly offsets: Tensor;
  /** Share of the tokens that goes to each expert, [E]; shares add up to k. */
  readonly shares: Tensor;
}

const integers = (values: Int32Array, shape: number[]) => tensor(values, shape, 'int32');

function routed(logits: Tensor, k: number): Tensor[] {
  const [N = 0, E = 0] = logits.shape;
  const probabilities = N === 0 ? zeros([0, E]) : softmax(logits);
  const routing = routingOf(probabilities.dataSync() as Float32Array, E, k);
  const [tokens, rows] = [integers(routing.tokens, [N * k]), integers(routing.rows, [N, k])];
  const weights = N === 0 ? zeros([0, 1]) : normalized(probabilities, pairsOf(routing), tokens, rows).weights;
  const shares = Float32Array.from(
    { length: E },
    (_, e) => ((routing.offsets[e + 1] as number) - (routing.offsets[e] as number)) / Math.max(N, 1),
  );
  return [probabilities, weights, tokens, rows, integers(routing.offsets, [E + 1]), tensor(shares, [E])];
}

/** Weights of the rows, [R, 1], and the sums that they were divided by, [R]. */
function normalized(probabilities: Tensor, pairs: Int32Array, tokens: Tensor, rows: Tensor) {
  const kept = gather(reshape(probabilities, [probabilities.size]), integers(pairs, [pairs.length]));
  const totals = ofRows(kept, tokens, rows);
  return { weights: reshape(div(kept, totals), [pairs.length, 1]), totals };
}

/** For each row the sum of what all rows of its token have, [R] → [R]. */
function ofRows(values: Tensor, tokens: Tensor, rows: Tensor): Tensor {
  return gather(sum(reshape(gather(values, reshape(rows, [rows.size])), rows.shape), 1), tokens);
}

type GradInputs = 'probabilities' | 'tokens' | 'rows' | 'offsets' | 'dProbabilities' | 'dWeights';

/** With w = p/Σp over a token's rows, dp = dProbabilities + (dw − Σ w·dw)/Σp; then softmax's own gradient. */
function gradient({ probabilities, tokens, rows, offsets, dProbabilities, dWeights }: Record<GradInputs, Tensor>) {
  if (probabilities.size === 0) return zeros(probabilities.shape);
  const pairs = pairsOf({ tokens: tokens.dataSync() as Int32Array, offsets: offsets.dataSync() as Int32Array });
  const { weights, totals } = normalized(probabilities, pairs, tokens, rows);
  const dw = reshape(dWeights, [pairs.length]);
  const dKept = div(sub(dw, ofRows(mul(dw, reshape(weights, [pairs.length])), tokens, rows)), totals);
  const scattered = scatterND(integers(pairs, [pairs.length, 1]), dKept, [probabilities.size]);
  const dp = add(dProbabilities, reshape(scattered, probabilities.shape));
  return mul(probabilities, sub(dp, sum(mul(probabilities, dp), 1, true)));
}

const gradKernel = defineKernel<GradInputs, object>({
  name: KernelName.RouteTokensGrad,
  inputs: ['probabilities', 'tokens', 'rows', 'offsets', 'dProbabilities', 'dWeights'],
  composed: gradient,
});

const kernel = defineKernel<'logits', { readonly k: number }>({
  name: KernelName.RouteTokens,
  inputs: ['logits'],
  composed: ({ logits }, { k }) => routed(logits, k),
  gradient: {
    savedOutputs: [true, false, true, true, true, false],
    backward: ([dProbabilities, dWeights], _, outputs) => {
      const [probabilities, tokens, rows, offsets] = outputs as [Tensor, Tensor, Tensor, Tensor];
      const dys = { dProbabilities: dProbabilities as Tensor, dWeights: dWeights as Tensor };
      return { logits: gradKernel({ probabilities, tokens, rows, offsets, ...dys }, {})[0] as Tensor };
    },
  },
});

/**
 * Sends every token to the k experts of the largest logits [N, E], as Mixtral does: softmax over all, the k largest kept
 * (of equal ones the first) and renormalised to one. Probabilities and weights have gradients; the rest are lists.
 * @throws ShapeError
 */
export function routeTokens(logits: Tensor, k: number): RoutedTokens {
  requireFloats('routeTokens', 'logits', logits, [null, null], 'A row of logits for each token');
  const experts = logits.shape[1] as number;
  if (!Number.isInteger(k) || k < 1 || k > experts)
    throw new ShapeError('routeTokens: a token goes to one expert at least, and to each at most once', {
      expected: `a whole number from 1 to ${experts}`,
      got: String(k),
      hint: 'num_experts_per_tok must not exceed num_local_experts',
    });
  const [probabilities, weights, ...lists] = kernel({ logits }, { k }) as [Tensor, Tensor, ...Tensor[]];
  const [tokens, rows, offsets, shares] = lists.map(detach) as [Tensor, Tensor, Tensor, Tensor];
  return { probabilities, weights, tokens, rows, offsets, shares };
}
