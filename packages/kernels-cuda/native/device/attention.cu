/**
 * Causal attention with online softmax: a block takes 32 queries of one head through the keys that they see, 32 at a
 * time. Scores are never stored.
 */
#include "attention.h"

namespace vwn {
namespace cuda {
namespace {

/** Grid: tiles of queries by x, heads of all sequences by y. Shared: two tiles of rows, one of scores. */
template <class T, int columns>
VWN_DEVICE void attention(const T *q, const T *k, const T *v, T *y, const AttentionSizes &s) {
  VWN_SHARED(float, queries);
  float *others = queries + attentionTile * (s.d + 1), *scores = others + attentionTile * (s.d + 1);
  const int64_t batch = blockIdx.y / s.H, head = blockIdx.y % s.H, first = static_cast<int64_t>(blockIdx.x) * attentionTile;
  const Head<const T> from = queryHead(q, s, batch, head);
  const Head<const T> keys = keyHead(k, s, batch, head / (s.H / s.K)), values = keyHead(v, s, batch, head / (s.H / s.K));
  stageRows(from.data, from.stride, first, s.T, s.d, queries);
  const int64_t query = first + rowOfThread(), seen = query < s.T ? s.S - s.T + query + 1 : 0;
  const int64_t last = first + attentionTile < s.T ? first + attentionTile : s.T, end = s.S - s.T + last;
  float sums[columns] = {}, most = -INFINITY, total = 0;
  for (int64_t key = 0; key < end; key += attentionTile) {
    __syncthreads();
    stageRows(keys.data, keys.stride, key, s.S, s.d, others);
    __syncthreads();
    float own[keysOfThread], top = most, part = 0;
    rowProducts(queries, others, s.d, own);
    for (int i = 0; i < keysOfThread; i++) {
      const bool isSeen = key + laneOfRow() + i * threadsOfRow < seen;
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
    __syncthreads();
    stageRows(values.data, values.stride, key, s.S, s.d, others);
    __syncthreads();
    addProducts<columns>(scores + rowOfThread() * scoreStride, 1, others, s.d, sums);
  }
  const Head<T> to = queryHead(y, s, batch, head);
  writeRow<columns>(sums, 1.0f / total, to.data, to.stride, first, s.T, s.d);
}
VWN_HEADS(attention, (const real *q, const real *k, const real *v, real *y, AttentionSizes sizes), (q, k, v, y, sizes))

}  // namespace
}  // namespace cuda
}  // namespace vwn
