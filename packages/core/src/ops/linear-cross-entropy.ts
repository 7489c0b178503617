import {
  add,
  addN,
  cast,
  concat,
  exp,
  log,
  max,
  mul,
  notEqual,
  oneHot,
  reshape,
  slice,
  sub,
  sum,
  tidy,
  where,
  zerosLike,
  type Tensor,
  type Tensor1D,
} from '@tensorflow/tfjs-core';
import { defineKernel } from '../kernel';
import { KernelName } from '../kernel-names';
import { matmul } from './internal/matmul';
import { lastOf, requireFloat, requireInteger, requireShape } from './internal/shapes';

export interface LinearCrossEntropyOptions {
  /** Rows with this target get loss 0 and gradient 0. */
  readonly ignoreIndex?: number;
  /** Rows computed at once; the default keeps a chunk of logits at 8 M numbers or less. */
  readonly chunkRows?: number;
}

interface Attrs {
  readonly ignoreIndex: number;
  readonly chunkRows: number;
}

const defaultChunkElements = 2 ** 23;

interface Chunk {
  readonly h: Tensor;
  readonly target: Tensor;
  readonly start: number;
  readonly rows: number;
}

function chunks(hidden: Tensor, targets: Tensor, chunkRows: number): Chunk[] {
  const [N = 0, D = 0] = hidden.shape;
  const list: Chunk[] = [];
  for (let start = 0; start < N; start += chunkRows) {
    const rows = Math.min(chunkRows, N - start);
    list.push({ h: slice(hidden, [start, 0], [rows, D]), target: slice(targets, [start], [rows]), start, rows });
  }
  return list;
}

/** 1 where a row counts, 0 where its target is ignored; [rows]. */
function counted(target: Tensor, ignoreIndex: number): Tensor {
  return cast(notEqual(target, ignoreIndex), 'float32');
}

/** One-hot rows [rows, V]; an ignored target gives some valid row, which the mask cancels. */
function targetRows(target: Tensor, V: number, ignoreIndex: number): Tensor {
  const safe = where(notEqual(target, ignoreIndex), target, zerosLike(target));
  return cast(oneHot(safe as Tensor1D, V), 'float32');
}

const gradKernel = defineKernel<'hidden' | 'weight' | 'targets' | 'logSumExp' | 'dy', Attrs>({
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

const kernel = defineKernel<'hidden' | 'weight' | 'targets', Attrs>({
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
      losses.push(mul(sub(logSumExp, atTarget), counted(target, ignoreIndex)));
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
 * their range; callers who hold them as numbers check them there.
 * @throws ShapeError
 */
export function linearCrossEntropy(
  hidden: Tensor,
  weight: Tensor,
  targets: Tensor,
  options: LinearCrossEntropyOptions = {},
): Tensor {
  requireFloat('linearCrossEntropy', 'hidden', hidden);
  requireShape('linearCrossEntropy', 'hidden', hidden, [null, null], 'Flatten batch and time into rows first');
  requireShape('linearCrossEntropy', 'weight', weight, [null, lastOf(hidden)], 'The unembedding is [V, D]');
  requireInteger('linearCrossEntropy', 'targets', targets);
  requireShape('linearCrossEntropy', 'targets', targets, [hidden.shape[0] as number], 'One target a row');
  const fitting = Math.max(1, Math.floor(defaultChunkElements / Math.max(1, weight.shape[0] as number)));
  const { ignoreIndex = -100, chunkRows = fitting } = options;
  // The kernel's second output, the log-sum-exp, is the gradient's alone.
  return tidy(() => kernel({ hidden, weight, targets }, { ignoreIndex, chunkRows })[0] as Tensor);
}
