import { gather, reshape, scatterND, type Tensor } from '@tensorflow/tfjs-core';
import { defineKernel } from '../kernel';
import { KernelName } from '../kernel-names';
import { requireFloats, requireInteger } from './internal/shapes';

const gradKernel = defineKernel<'ids' | 'dy', { readonly rows: number }>({
  name: KernelName.EmbeddingLookupGrad,
  inputs: ['ids', 'dy'],
  // ScatterNd adds up rows of the same index on every stock backend; wasm has no UnsortedSegmentSum.
  composed: ({ ids, dy }, { rows }) => {
    const width = dy.shape[dy.rank - 1] as number;
    return scatterND(reshape(ids, [ids.size, 1]), reshape(dy, [ids.size, width]), [rows, width]);
  },
});

const kernel = defineKernel<'table' | 'ids', object>({
  name: KernelName.EmbeddingLookup,
  inputs: ['table', 'ids'],
  composed: ({ table, ids }) =>
    reshape(gather(table, reshape(ids, [ids.size])), [...ids.shape, table.shape[1] as number]),
  gradient: {
    backward: ([dy], { table, ids }) => ({
      table: gradKernel({ ids, dy: dy as Tensor }, { rows: table.shape[0] as number })[0] as Tensor,
    }),
  },
});

/**
 * Rows of a table: table [V, W], ids int32 [...] → [..., W]. Ids are not read back to check their range here
 * (that would wait for the device); callers who hold them as numbers check them there.
 * @throws ShapeError
 */
export function embeddingLookup(table: Tensor, ids: Tensor): Tensor {
  requireInteger('embeddingLookup', 'ids', ids);
  requireFloats('embeddingLookup', 'table', table, [null, null], 'A table is [vocabulary, width]');
  return kernel({ table, ids }, {})[0] as Tensor;
}
