import { ShapeError } from '@vwn/core';
import { tensor2d, type Tensor } from '@tensorflow/tfjs-core';

/** Token ids of a batch: an int32 tensor [B, T], or rows of numbers of one length. */
export type TokenIds = Tensor | readonly (readonly number[] | Int32Array)[];

/**
 * Ids as a tensor. Numbers are checked to lie in the vocabulary; those of a tensor are not read back for that.
 * @throws ShapeError
 */
export function idsTensor(ids: TokenIds, vocabSize: number, minLength = 1): Tensor {
  const tensor = isRows(ids) ? fromRows(ids, vocabSize) : ids;
  if (tensor.rank !== 2 || tensor.dtype !== 'int32' || (tensor.shape[1] as number) < minLength)
    throw new ShapeError('token ids have the wrong shape', {
      expected: `int32 [batch, at least ${minLength}]`,
      got: `${tensor.dtype} [${tensor.shape.join(', ')}]`,
      hint: 'A model with K multi-token heads needs K + 2 tokens in a row to have a loss',
    });
  return tensor;
}

function isRows(ids: TokenIds): ids is readonly (readonly number[] | Int32Array)[] {
  return Array.isArray(ids);
}

function fromRows(rows: readonly (readonly number[] | Int32Array)[], vocabSize: number): Tensor {
  const length = rows[0]?.length ?? 0;
  const flat = new Int32Array(rows.length * length);
  rows.forEach((row, b) => {
    if (row.length !== length)
      throw new ShapeError('rows of token ids differ in length', {
        expected: String(length),
        got: `${row.length} in row ${b}`,
      });
    row.forEach((id, t) => {
      if (!Number.isInteger(id) || id < 0 || id >= vocabSize)
        throw new ShapeError(`token id ${id} (row ${b}, position ${t}) is not in the vocabulary`, {
          expected: `a whole number from 0 to ${vocabSize - 1}`,
          hint: 'Do the tokenizer and the checkpoint belong together?',
        });
      flat[b * length + t] = id;
    });
  });
  return tensor2d(flat, [rows.length, length], 'int32');
}
