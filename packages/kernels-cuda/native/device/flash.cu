/**
 * Causal attention by tensor cores with online softmax: a block takes 64 queries of one head through the keys that they
 * see, 64 at a time. Values arrive while scores are made, the next keys while values are added. Scores are never stored.
 */
#include "flash.h"

namespace vwn {
namespace cuda {
namespace {

/** Shared: tiles of queries, keys and values. */
template <int D>
VWN_DEVICE void flash(const bf16 *q, const bf16 *k, const bf16 *v, bf16 *y, const AttentionSizes &s) {
  VWN_SHARED(bf16, queries);
  bf16 *keys = queries + flashTile * (D + 8), *values = keys + flashTile * (D + 8);
  const FlashQueries tile = flashQueries(s, k, v);
  askFor<D, flashTile>(queryHead(q, s, tile.batch, tile.head), tile.first, s.T, s.d, queries);
  askFor<D, flashTile>(tile.keys, 0, s.S, s.d, keys);
  commitCopies();
  Sum sums[D / 8] = {};
  OnlineSoftmax softmax;
  for (int64_t t = 0; t < tile.tiles; t++) {
    arrive<0>();
    askFor<D, flashTile>(tile.values, t * flashTile, s.S, s.d, values);
    commitCopies();
    Sum scores[flashTile / 8];
    float shrink[2];
    rowsByRows<D>(queries, keys, scores);
    hideUnseen(t * flashTile, tile.seen, scores);
    softmax.take(scores, s.scale * log2OfE, shrink);
#pragma unroll
    for (int j = 0; j < D / 8; j++)
      for (int i = 0; i < 4; i++) sums[j].values[i] *= shrink[i / 2];
    arrive<0>();
    if (t + 1 < tile.tiles) askFor<D, flashTile>(tile.keys, (t + 1) * flashTile, s.S, s.d, keys);
    commitCopies();
    addWeightedRows<D>(scores, values, sums);
  }
  const float factors[2] = {1.0f / softmax.total[0], 1.0f / softmax.total[1]};
  writeRows<D>(sums, factors, queryHead(y, s, tile.batch, tile.head), tile.first, s.T, s.d);
}
VWN_FLASH(flash, (const bf16 *q, const bf16 *k, const bf16 *v, bf16 *y, AttentionSizes sizes), (q, k, v, y, sizes))

}  // namespace
}  // namespace cuda
}  // namespace vwn
