import {
  cast,
  notEqual,
  oneHot,
  ones,
  scalar,
  slice,
  where,
  zerosLike,
  type Tensor,
  type Tensor1D,
} from '@tensorflow/tfjs-core';
import { requirePositiveWhole } from '../../arguments';
import { ConfigError } from '../../errors';
import { lastOf, requireFloats, requireInteger, requireShape } from './shapes';

/** What both forms of the cross-entropy of rows are made of: options, chunks of rows, targets as rows. */
export interface LinearCrossEntropyOptions {
  /** Rows with this target get loss 0 and gradient 0; any int32, by default −100. */
  readonly ignoreIndex?: number;
  /** Rows computed at once; the default keeps a chunk of logits at 8 M numbers or less. */
  readonly chunkRows?: number;
}

export interface CrossEntropyAttrs {
  readonly ignoreIndex: number;
  readonly chunkRows: number;
}

const defaultChunkElements = 2 ** 23;

/**
 * Checks hidden [N, D], weight [V, D] and targets int32 [N], and fills in what `options` leaves open.
 * @throws ShapeError; ConfigError when chunkRows is no positive whole number, or ignoreIndex no int32
 */
export function crossEntropyAttrs(
  op: string,
  { hidden, weight, targets }: Record<'hidden' | 'weight' | 'targets', Tensor>,
  options: LinearCrossEntropyOptions,
): CrossEntropyAttrs {
  requireFloats(op, 'hidden', hidden, [null, null], 'Flatten batch and time into rows first');
  requireFloats(op, 'weight', weight, [null, lastOf(hidden)], 'The unembedding is [V, D]');
  requireInteger(op, 'targets', targets);
  requireShape(op, 'targets', targets, [hidden.shape[0] as number], 'One target a row');
  const fitting = Math.max(1, Math.floor(defaultChunkElements / Math.max(1, weight.shape[0] as number)));
  const { ignoreIndex = -100, chunkRows = fitting } = options;
  requirePositiveWhole(op, 'chunkRows', chunkRows);
  requireTarget(op, 'ignoreIndex', ignoreIndex);
  return { ignoreIndex, chunkRows };
}

/** Native code makes some integer of any number: of Infinity the 0 that is a word. @throws ConfigError */
function requireTarget(op: string, name: string, value: number): void {
  if ((value | 0) === value) return;
  throw new ConfigError(`${op}: ${name} cannot be a target`, {
    expected: 'a whole number from -2147483648 to 2147483647',
    got: String(value),
    hint: 'Leave it out where no row is to be ignored: by default it is -100, which is no word',
  });
}

export interface Chunk {
  readonly h: Tensor;
  readonly target: Tensor;
  readonly start: number;
  readonly rows: number;
}

export function chunks(hidden: Tensor, targets: Tensor, chunkRows: number): Chunk[] {
  const [N = 0, D = 0] = hidden.shape;
  const list: Chunk[] = [];
  for (let start = 0; start < N; start += chunkRows) {
    const rows = Math.min(chunkRows, N - start);
    list.push({ h: slice(hidden, [start, 0], [rows, D]), target: slice(targets, [start], [rows]), start, rows });
  }
  return list;
}

/** Whether a row counts. Beside a plain number, a float32 for tfjs, integers beyond 2^24 would not be themselves. */
function counts(target: Tensor, ignoreIndex: number): Tensor {
  return notEqual(target, scalar(ignoreIndex, 'int32'));
}

/** 1 where a row counts, 0 where its target is ignored; [rows]. */
export function counted(target: Tensor, ignoreIndex: number): Tensor {
  return cast(counts(target, ignoreIndex), 'float32');
}

/** Losses [rows], 0 where a target is ignored: also where the loss itself would be NaN. */
export function countedLosses(losses: Tensor, target: Tensor, ignoreIndex: number): Tensor {
  return where(counts(target, ignoreIndex), losses, zerosLike(losses));
}

/** One-hot rows [rows, V]; an ignored target gives some valid row, which the mask cancels. */
export function targetRows(target: Tensor, V: number, ignoreIndex: number): Tensor {
  if (V === 1) return ones([target.size, 1]); // tfjs's oneHot wants two classes
  const safe = where(counts(target, ignoreIndex), target, zerosLike(target));
  return cast(oneHot(safe as Tensor1D, V), 'float32');
}
