import {
  addN,
  concat,
  customGrad,
  div,
  exp,
  log,
  max,
  mean,
  mul,
  reshape,
  sub,
  sum,
  tidy,
  zerosLike,
  type GradSaveFunc,
  type Scalar,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { gradientDepth } from '../gradient-depth';
import { defineKernel } from '../kernel';
import { KernelName } from '../kernel-names';
import {
  chunks,
  counted,
  countedLosses,
  crossEntropyAttrs,
  targetRows,
  type Chunk,
  type CrossEntropyAttrs,
  type LinearCrossEntropyOptions,
} from './internal/cross-entropy-rows';
import { matmul } from './internal/matmul';
import { linearCrossEntropy } from './linear-cross-entropy';

type Inputs = 'hidden' | 'weight' | 'targets';

/** Σ of a chunk's losses, and the gradients of that: [], [rows, D], [V, D]. */
function chunkSums({ h, target }: Chunk, weight: Tensor, ignoreIndex: number): [Tensor, Tensor, Tensor] {
  const logits = matmul(h, weight, false, true);
  const shifted = sub(logits, max(logits, 1, true));
  const exponentials = exp(shifted);
  const total = sum(exponentials, 1, true);
  const wanted = targetRows(target, weight.shape[0] as number, ignoreIndex);
  const all = sub(log(reshape(total, [-1])), sum(mul(shifted, wanted), 1));
  const losses = countedLosses(all, target, ignoreIndex);
  const dLogits = mul(sub(div(exponentials, total), wanted), reshape(counted(target, ignoreIndex), [-1, 1]));
  return [sum(losses), matmul(dLogits, weight), matmul(dLogits, h, true, false)];
}

const kernel = defineKernel<Inputs, CrossEntropyAttrs>({
  name: KernelName.MeanCrossEntropy,
  inputs: ['hidden', 'weight', 'targets'],
  composed: ({ hidden, weight, targets }, { ignoreIndex, chunkRows }) => {
    const sums = chunks(hidden, targets, chunkRows).map((each) => chunkSums(each, weight, ignoreIndex));
    if (sums.length === 0) return [mean(hidden), zerosLike(hidden), zerosLike(weight)];
    const rows = hidden.shape[0] as number;
    const [losses, dHidden, dWeight] = [0, 1, 2].map((i) => sums.map((each) => each[i] as Tensor)) as [
      Tensor[],
      Tensor[],
      Tensor[],
    ];
    return [addN(losses), concat(dHidden, 0), addN(dWeight)].map((each) => div(each, rows));
  },
});

const scaled = defineKernel<'x' | 'by', object>({
  name: KernelName.ScaleGradient,
  inputs: ['x', 'by'],
  composed: ({ x, by }) => mul(x, by),
});

/**
 * Mean over all rows of {@link linearCrossEntropy}, for training: hidden [N, D], weight [V, D], targets int32 [N] → a
 * scalar in nats; ignored rows count as 0. Where a gradient is being taken, the forward pass makes both gradients from
 * the logits that it has in hand, where `linearCrossEntropy` computes them a second time; the backward pass only scales
 * them. They are kept between the two, as large as hidden and weight.
 * @throws ShapeError
 */
export function meanCrossEntropy(
  hidden: Tensor,
  weight: Tensor,
  targets: Tensor,
  options: LinearCrossEntropyOptions = {},
): Scalar {
  if (gradientDepth() === 0) return tidy(() => mean(linearCrossEntropy(hidden, weight, targets, options)));
  const attrs = crossEntropyAttrs('meanCrossEntropy', { hidden, weight, targets }, options);
  return withGradients(targets, attrs)(hidden, weight) as Scalar;
}

/** The kernel's gradients are no outputs of the operation: for outputs that nobody uses tfjs makes gradients of zeros. */
function withGradients(targets: Tensor, attrs: CrossEntropyAttrs) {
  return customGrad((...args) => {
    const [hidden, weight, save] = args as unknown as [Tensor, Tensor, GradSaveFunc];
    const [loss, ...gradients] = kernel({ hidden, weight, targets }, attrs) as [Tensor, Tensor, Tensor];
    save(gradients);
    return { value: loss, gradFunc: (by, saved) => saved.map((x) => scaled({ x, by }, {})[0] as Tensor) };
  });
}
