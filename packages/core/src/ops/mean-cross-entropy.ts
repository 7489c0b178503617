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
  scalar,
  sub,
  sum,
  tidy,
  zerosLike,
  type GradSaveFunc,
  type Scalar,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { ConfigError } from '../errors';
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

/** Of no rows it is NaN on every backend: tfjs's `cpu` makes 0 of it, its `wasm` what lies in memory, TensorFlow NaN. */
function meanOfRows(values: Tensor): Scalar {
  return values.size > 0 ? mean(values) : scalar(Number.NaN);
}

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
    if (sums.length === 0) return [meanOfRows(hidden), zerosLike(hidden), zerosLike(weight)];
    const rows = hidden.shape[0] as number;
    const [losses, dHidden, dWeight] = [0, 1, 2].map((i) => sums.map((each) => each[i] as Tensor)) as [
      Tensor[],
      Tensor[],
      Tensor[],
    ];
    return [addN(losses), concat(dHidden, 0), addN(dWeight)].map((each) => div(each, rows));
  },
});

const scaleKernel = defineKernel<'x' | 'by', object>({
  name: KernelName.ScaleGradient,
  inputs: ['x', 'by'],
  composed: ({ x, by }) => mul(x, by),
});

/**
 * Mean over all rows of {@link linearCrossEntropy}, for training: hidden [N, D], weight [V, D], targets int32 [N] → a
 * scalar in nats; ignored rows count as 0, so that it is 0 where all are ignored, and NaN where there are no rows. Where
 * a gradient is being taken, the forward pass makes both gradients from the logits that it has in hand, where
 * `linearCrossEntropy` computes them a second time; the backward pass only scales them. They are kept between the two,
 * as large as hidden and weight. Its gradients have none of their own: who takes one gets a ConfigError.
 * @throws ShapeError; ConfigError as for `linearCrossEntropy`
 */
export function meanCrossEntropy(
  hidden: Tensor,
  weight: Tensor,
  targets: Tensor,
  options: LinearCrossEntropyOptions = {},
): Scalar {
  if (gradientDepth() === 0) return tidy(() => meanOfRows(linearCrossEntropy(hidden, weight, targets, options)));
  const attrs = crossEntropyAttrs('meanCrossEntropy', { hidden, weight, targets }, options);
  return withGradients(targets, attrs)(hidden, weight) as Scalar;
}

/** The kernel's gradients are no outputs of the operation: for outputs that nobody uses tfjs makes gradients of zeros. */
function withGradients(targets: Tensor, attrs: CrossEntropyAttrs) {
  return customGrad((...args) => {
    const [hidden, weight, save] = args as unknown as [Tensor, Tensor, GradSaveFunc];
    const [loss, ...gradients] = kernel({ hidden, weight, targets }, attrs) as [Tensor, Tensor, Tensor];
    save(gradients);
    const gradFunc = (by: Tensor, saved: Tensor[]) =>
      saved.map((x) => (gradientDepth() === 0 ? scaled(x, by) : scaledOnTape(x, by, [hidden, weight])));
    return { value: loss, gradFunc };
  });
}

function scaled(x: Tensor, by: Tensor): Tensor {
  return scaleKernel({ x, by }, {})[0] as Tensor;
}

/**
 * The same where another gradient is being recorded. For its tape gradients in hand come from nowhere, and it would take
 * them for constants: a node that has the operation's inputs, and no gradient, stands in the way. Of the inputs the tape
 * needs no more than which they are; their memory may be gone.
 */
function scaledOnTape(x: Tensor, by: Tensor, inputs: readonly Tensor[]): Tensor {
  const node = customGrad(() => ({ value: scaled(x, by), gradFunc: refuseSecondDerivative }));
  return node(...inputs, by);
}

/** Composed of tfjs's operations it would have none that is right either: https://github.com/tensorflow/tfjs/issues/3252 */
function refuseSecondDerivative(): never {
  throw new ConfigError('meanCrossEntropy has no second derivative', {
    got: 'a gradient of its gradient',
    hint: 'Make it of differences of gradients, those at x + ε and at x − ε',
  });
}
