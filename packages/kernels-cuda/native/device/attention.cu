/**
 * Causal attention with online softmax: a block takes 32 queries of one head through the keys that they see, 32 at a
 * time. Scores are never stored.
 */
#include "attention.h"

namespace vwn {
namespace cuda {
namespace {

/**
 * logSums [B·H, T]: the log of every query's sum of exponentials. Grid: tiles of queries by x, heads of all sequences by y.
 * Shared: two tiles of rows, one of scores.
 */
template <class T, int columns>
VWN_DEVICE void attention(const T *q, const T *k, const T *v, T *y, float *logSums, const AttentionSizes &s) {
  VWN_SHARED(float, queries);
  float *others = queries + attentionTile * (s.d + 1), *scores = others + attentionTile * (s.d + 1);
  const QueryTile<T> tile = queryTile(s, k, v);
  const Head<const T> from = queryHead(q, s, tile.batch, tile.head);
  stageRows(from.data, from.stride, tile.first, s.T, s.d, queries);
  float sums[columns] = {}, most = -INFINITY, total = 0;
  for (int64_t key = 0; key < tile.end; key += attentionTile) {
    restage(tile.keys, key, s.S, s.d, others);
    float own[keysOfThread], top = most, part = 0;
    rowProducts(queries, others, s.d, own);
    for (int i = 0; i < keysOfThread; i++) {
      const bool isSeen = key + laneOfRow() + i * threadsOfRow < tile.seen;
      own[i] = isSeen ? own[i] * s.scale : -INFINITY;
      top = fmaxf(top, own[i]);
    }
    top = maximumOverRow(top);
    for (int i = 0; i < keysOfThread; i++) {
      // A row beyond the last one sees nothing; elsewhere the first tile has a key for every row.
      const float p = own[i] == -INFINITY ? 0.0f : expf(own[i] - top);
      part += p;
      scores[rowOfThread() * scoreStride + laneOfRow() + i * threadsOfRow] = p;
    }
    const float shrink = most == -INFINITY ? 0.0f : expf(most - top);
    total = total * shrink + sumOverRow(part);
    most = top;
    for (int c = 0; c < columns; c++) sums[c] *= shrink;
    restage(tile.values, key, s.S, s.d, others);
    addProducts<columns>(scores + rowOfThread() * scoreStride, 1, others, s.d, sums);
  }
  const Head<T> to = queryHead(y, s, tile.batch, tile.head);
  writeRow<columns>(sums, 1.0f / total, to.data, to.stride, tile.first, s.T, s.d);
  const int64_t query = tile.first + rowOfThread();
  if (query < s.T && laneOfRow() == 0) logSums[static_cast<int64_t>(blockIdx.y) * s.T + query] = most + logf(total);
}
VWN_HEADS(attention, (const real *q, const real *k, const real *v, real *y, float *logSums, AttentionSizes sizes),
          (q, k, v, y, logSums, sizes))

}  // namespace
}  // namespace cuda
}  // namespace vwn
