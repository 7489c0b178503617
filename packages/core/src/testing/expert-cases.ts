import { add, cast, mul, tensor, tidy, type Tensor } from '@tensorflow/tfjs-core';
import { KernelName } from '../kernel-names';
import { groupedLinears } from '../ops/grouped-linears';
import { routeTokens } from '../ops/route-tokens';
import type { CaseInputs, OpCase } from './op-case';
import { opCase } from './transformer-cases';

type Size = OpCase['size'];

const get = (inputs: CaseInputs, name: string) => inputs[name] as Tensor;

/** `counts` rows of each group, `outs` the widths of the sets of weights. */
export function groupedCase(counts: readonly number[], input: number, outs: readonly number[], size: Size): OpCase {
  const offsets = counts.reduce((at, count) => [...at, (at.at(-1) as number) + count], [0]);
  const rows = offsets.at(-1) as number;
  const nameOf = (set: number, group: number) => `weight${set}.${group}`;
  const weights = outs.flatMap((out, s) => counts.map((_, e) => [nameOf(s, e), [out, input]] as const));
  return opCase({
    op: 'groupedLinears',
    sizes: `[${counts.join(' + ')}, ${input}] to ${outs.join(', ')}`,
    kernels: [KernelName.GroupedLinear, KernelName.GroupedLinearGrad],
    size,
    shapes: { x: [rows, input], ...Object.fromEntries(weights) },
    others: () => ({ offsets: tensor(offsets, [offsets.length], 'int32') }),
    run: (inputs) => {
      const sets = outs.map((_, s) => counts.map((__, e) => get(inputs, nameOf(s, e))));
      return groupedLinears(get(inputs, 'x'), sets, get(inputs, 'offsets'));
    },
    flops: outs.reduce((sum, out) => sum + 2 * rows * input * out, 0),
  });
}

/** Logits at least 0.5 apart, so that a step of finite differences, or bf16, sends no token elsewhere. */
export function routeCase(tokens: number, experts: number, k: number, size: Size): OpCase {
  const apart = Float32Array.from({ length: tokens * experts }, (_, i) => {
    const [token, expert] = [Math.floor(i / experts), i % experts];
    return (token * token + 3 * token + expert) % experts;
  });
  return opCase({
    op: 'routeTokens',
    sizes: `N=${tokens} E=${experts} k=${k}`,
    kernels: [KernelName.RouteTokens, KernelName.RouteTokensGrad],
    size,
    shapes: { logits: [tokens, experts] },
    others: () => ({ apart: tensor(apart, [tokens, experts]) }),
    run: (inputs) =>
      tidy(() => {
        const logits = add(mul(get(inputs, 'logits'), 0.1), mul(get(inputs, 'apart'), 0.5));
        const { probabilities, weights, shares, ...rest } = routeTokens(logits, k);
        const lists = [rest.tokens, rest.rows, rest.offsets].map((list) => cast(list, 'float32'));
        return [probabilities, weights, shares, ...lists];
      }),
  });
}

/** A mixture's experts: uneven groups, empty ones, one, all; one set of weights and two. */
export const expertCases: readonly OpCase[] = [
  groupedCase([1], 1, [1], 'small'),
  groupedCase([5, 0, 3], 4, [6], 'small'),
  groupedCase([0, 2, 7, 1], 5, [3, 3], 'small'),
  groupedCase([3, 0], 7, [2, 9, 1], 'small'),
  groupedCase([2, 4, 1], 6, [3, 2], 'small'),
  groupedCase([709, 512, 256, 384, 1027, 0, 640, 568], 256, [352, 352], 'large'),
  routeCase(1, 1, 1, 'small'),
  routeCase(7, 3, 2, 'small'),
  routeCase(5, 4, 4, 'small'),
  routeCase(9, 17, 3, 'small'),
  routeCase(2048, 8, 2, 'large'),
];
