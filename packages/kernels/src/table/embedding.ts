import { KernelName } from '@vwn/core';
import { sizeOf } from '../native-backend';
import { nativeKernel } from '../native-kernel';
import { StorageType } from '../native-library';
import { lastOf } from './shapes';

export const embeddingKernels = [
  nativeKernel<'table' | 'ids'>(
    KernelName.EmbeddingLookup,
    ['embedding_lookup'],
    ({ inputs: { table, ids }, backend }) => {
      const [rows = 0, width = 0] = table.shape;
      // One number a row is a coefficient (a router's weight), not an activation: it stays float32.
      const y = backend.output([...ids.shape, width], width === 1 ? StorageType.f32 : backend.activationType);
      backend.call('embedding_lookup', [table, ids, y], [rows, width, sizeOf(ids.shape)]);
      return y;
    },
  ),
  nativeKernel<'ids' | 'dy', { rows: number }>(
    KernelName.EmbeddingLookupGrad,
    ['embedding_lookup_grad'],
    ({ inputs: { ids, dy }, attrs: { rows }, backend }) => {
      const dTable = backend.output([rows, lastOf(dy)]);
      backend.call('embedding_lookup_grad', [ids, dy, dTable], [rows, lastOf(dy), sizeOf(ids.shape)]);
      return dTable;
    },
  ),
];
