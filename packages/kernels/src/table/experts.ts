import { KernelName } from '@vwn/core';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { nativeKernel } from '../native-kernel';
import { StorageType } from '../native-library';
import { lastOf, rowsOf } from './shapes';

/** Inputs by number: offsets, x, the weights set by set, then what the gradient brings besides. */
function grouped(inputs: Readonly<Record<string, TensorInfo>>, dysOfSet: 0 | 1) {
  const [offsets, x, ...rest] = Object.values(inputs) as [TensorInfo, TensorInfo, ...TensorInfo[]];
  const groups = lastOf(offsets) - 1;
  const sets = rest.length / (groups + dysOfSet);
  const [weights, dys] = [rest.slice(0, sets * groups), rest.slice(sets * groups)];
  const outs = Array.from({ length: sets }, (_, set) => weights[set * groups]?.shape[0] ?? 0);
  const numbers = (halves: boolean) => [rowsOf(x), lastOf(x), groups, +halves, ...outs];
  return { offsets, x, weights, dys, outs, numbers };
}

/** Products of sorted rows with each expert's weights, and routing, which says whose rows are whose. */
export const expertKernels = [
  nativeKernel<string>(KernelName.GroupedLinear, ['grouped_linear'], ({ inputs, backend }) => {
    const { offsets, x, weights, outs, numbers } = grouped(inputs, 0);
    const ys = outs.map((out) => backend.output([rowsOf(x), out], backend.activationType));
    const rounded = weights.map((weight) => backend.rounded(weight));
    backend.call('grouped_linear', [offsets, x, ...rounded, ...ys], numbers(backend.precision === 'bf16'));
    return ys;
  }),
  nativeKernel<string>(KernelName.GroupedLinearGrad, ['grouped_linear_grad'], ({ inputs, backend }) => {
    const { offsets, x, weights, dys, numbers } = grouped(inputs, 1);
    const dx = backend.output(x.shape, backend.activationType);
    const dWeights = weights.map(({ shape }) => backend.output(shape));
    const rounded = weights.map((weight) => backend.rounded(weight));
    const operands = [offsets, x, ...rounded, ...dys, dx, ...dWeights];
    backend.call('grouped_linear_grad', operands, numbers(backend.precision === 'bf16'));
    return [dx, ...dWeights];
  }),
  nativeKernel<'logits', { k: number }>(
    KernelName.RouteTokens,
    ['route_tokens'],
    ({ inputs: { logits }, attrs: { k }, backend }) => {
      const [N = 0, E = 0] = logits.shape;
      const [probabilities, weights] = [backend.output([N, E]), backend.output([N * k, 1])];
      const lists = [[N * k], [N, k], [E + 1]].map((shape) => backend.output(shape, StorageType.i32));
      const outputs = [probabilities, weights, ...lists, backend.output([E])];
      backend.call('route_tokens', [logits, ...outputs], [N, E, k]);
      return outputs;
    },
  ),
  nativeKernel<'probabilities' | 'rows' | 'offsets' | 'dProbabilities' | 'dWeights'>(
    KernelName.RouteTokensGrad,
    ['route_tokens_grad'],
    ({ inputs: { probabilities, rows, offsets, dProbabilities, dWeights }, backend }) => {
      const [N = 0, E = 0] = probabilities.shape;
      const dLogits = backend.output([N, E], backend.activationType);
      const dys = [dProbabilities, dWeights].map((each) => backend.stored(each, StorageType.f32));
      backend.call('route_tokens_grad', [probabilities, rows, offsets, ...dys, dLogits], [N, E, lastOf(rows)]);
      return dLogits;
    },
  ),
];
