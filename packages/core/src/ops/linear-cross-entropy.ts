import {
  add,
  addN,
  concat,
  exp,
  log,
  max,
  mul,
  reshape,
  slice,
  sub,
  sum,
  tidy,
  zerosLike,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { defineKernel } from '../kernel';
import { KernelName } from '../kernel-names';
import {
  chunks,
  counted,
  countedLosses,
  crossEntropyAttrs,
  targetRows,
  type CrossEntropyAttrs,
  type LinearCrossEntropyOptions,
} from './internal/cross-entropy-rows';
import { matmul } from './internal/matmul';

export type { LinearCrossEntropyOptions };

const gradKernel = defineKernel<'hidden' | 'weight' | 'targets' | 'logSumExp' | 'dy', CrossEntropyAttrs>({
  name: KernelName.LinearCrossEntropyGrad,
  inputs: ['hidden', 'weight', 'targets', 'logSumExp', 'dy'],
  composed: ({ hidden, weight, targets, logSumExp, dy }, { ignoreIndex, chunkRows }) => {
    const V = weight.shape[0] as number;
    const dHidden: Tensor[] = [];
    const dWeight: Tensor[] = [];
    for (const { h, target, start, rows } of chunks(hidden, targets, chunkRows)) {
      const logits = matmul(h, weight, false, true);
      const p = exp(sub(logits, reshape(slice(logSumExp, [start], [rows]), [rows, 1])));
      const scale = mul(slice(dy, [start], [rows]), counted(target, ignoreIndex));
      const dLogits = mul(sub(p, targetRows(target, V, ignoreIndex)), reshape(scale, [rows, 1]));
      dHidden.push(matmul(dLogits, weight));
      dWeight.push(matmul(dLogits, h, true, false));
    }
    if (dHidden.length === 0) return [zerosLike(hidden), zerosLike(weight)];
    return [concat(dHidden, 0), addN(dWeight)];
  },
});

const kernel = defineKernel<'hidden' | 'weight' | 'targets', CrossEntropyAttrs>({
  name: KernelName.LinearCrossEntropy,
  inputs: ['hidden', 'weight', 'targets'],
  composed: ({ hidden, weight, targets }, { ignoreIndex, chunkRows }) => {
    const V = weight.shape[0] as number;
    const losses: Tensor[] = [];
    const logSumExps: Tensor[] = [];
    for (const { h, target } of chunks(hidden, targets, chunkRows)) {
      const logits = matmul(h, weight, false, true);
      const largest = max(logits, 1, true);
      const logSumExp = add(log(sum(exp(sub(logits, largest)), 1)), reshape(largest, [-1]));
      const atTarget = sum(mul(logits, targetRows(target, V, ignoreIndex)), 1);
      losses.push(countedLosses(sub(logSumExp, atTarget), target, ignoreIndex));
      logSumExps.push(logSumExp);
    }
    if (losses.length === 0) return [sum(hidden, 1), sum(hidden, 1)];
    return [concat(losses, 0), concat(logSumExps, 0)];
  },
  gradient: {
    savedOutputs: [false, true],
    backward: ([dy], { hidden, weight, targets }, [logSumExp], attrs) => {
      const inputs = { hidden, weight, targets, logSumExp: logSumExp as Tensor, dy: dy as Tensor };
      const [dHidden, dWeight] = gradKernel(inputs, attrs);
      return { hidden: dHidden as Tensor, weight: dWeight as Tensor };
    },
  },
});

/**
 * Cross-entropy of each row straight from the hidden state and the unembedding, without kept logits:
 * hidden [N, D], weight [V, D], targets int32 [N] → losses [N] in nats. Works in chunks of rows, keeps only the
 * log-sum-exp [N] and computes each chunk's logits again in the backward pass. Targets are not read back to check
 * their range; callers who hold them as numbers check them there. A logit of −Infinity makes the loss of its row NaN, as
 * one of Infinity or NaN does: a run whose logits overflow must not look healthy.
 * @throws ShapeError; ConfigError when chunkRows is no positive whole number, or ignoreIndex no int32
 */
export function linearCrossEntropy(
  hidden: Tensor,
  weight: Tensor,
  targets: Tensor,
  options: LinearCrossEntropyOptions = {},
): Tensor {
  const attrs = crossEntropyAttrs('linearCrossEntropy', { hidden, weight, targets }, options);
  // The kernel's second output, the log-sum-exp, is the gradient's alone.
  return tidy(() => kernel({ hidden, weight, targets }, attrs)[0] as Tensor);
}
