/**
 * Gradients of causal attention in three kernels without atomics: of every query the log of its softmax's sum and
 * Σ_j p_j·(dy·v_j); then dq, a block 32 queries; then dk and dv, a block 32 keys and all queries that see them.
 *   p = exp(scale·q·k − logSum), dv = Σ p·dy, dScore = p·(dy·v − dot)·scale, dq = Σ dScore·k, dk = Σ dScore·q
 */
#include "attention.h"

namespace vwn {
namespace cuda {
namespace {

/** The tile of queries of this block and their dy, in shared memory. */
template <class T>
VWN_DEVICE QueryTile<T> stageQueries(const T *q, const T *k, const T *v, const T *dy, const AttentionSizes &s,
                                     float *queries, float *dOut) {
  const QueryTile<T> tile = queryTile(s, k, v);
  const Head<const T> from = queryHead(q, s, tile.batch, tile.head), up = queryHead(dy, s, tile.batch, tile.head);
  stageRows(from.data, from.stride, tile.first, s.T, s.d, queries);
  stageRows(up.data, up.stride, tile.first, s.T, s.d, dOut);
  return tile;
}

/** Shared: three tiles of rows. */
template <class T, int columns>
VWN_DEVICE void attentionStatistics(const T *q, const T *k, const T *v, const T *dy, float *statistics,
                                    const AttentionSizes &s) {
  VWN_SHARED(float, queries);
  float *dOut = queries + attentionTile * (s.d + 1), *others = dOut + attentionTile * (s.d + 1);
  const QueryTile<T> tile = stageQueries(q, k, v, dy, s, queries, dOut);
  float most = -INFINITY, total = 0, dot = 0;
  for (int64_t key = 0; key < tile.end; key += attentionTile) {
    float scores[keysOfThread], products[keysOfThread], top = most, part = 0, dotPart = 0;
    restage(tile.keys, key, s.S, s.d, others);
    rowProducts(queries, others, s.d, scores);
    restage(tile.values, key, s.S, s.d, others);
    rowProducts(dOut, others, s.d, products);
    for (int i = 0; i < keysOfThread; i++) {
      const bool isSeen = key + laneOfRow() + i * threadsOfRow < tile.seen;
      scores[i] = isSeen ? scores[i] * s.scale : -INFINITY;
      top = fmaxf(top, scores[i]);
    }
    top = maximumOverRow(top);
    for (int i = 0; i < keysOfThread; i++) {
      if (scores[i] == -INFINITY) continue;
      const float p = expf(scores[i] - top);
      part += p;
      dotPart += p * products[i];
    }
    const float shrink = most == -INFINITY ? 0.0f : expf(most - top);
    total = total * shrink + sumOverRow(part);
    dot = dot * shrink + sumOverRow(dotPart);
    most = top;
  }
  const int64_t query = tile.first + rowOfThread();
  if (query >= s.T || laneOfRow() > 0) return;
  const int64_t at = (static_cast<int64_t>(blockIdx.y) * s.T + query) * 2;
  statistics[at] = most + logf(total);
  statistics[at + 1] = dot / total;
}
VWN_HEADS(attentionStatistics,
          (const real *q, const real *k, const real *v, const real *dy, float *statistics, AttentionSizes sizes),
          (q, k, v, dy, statistics, sizes))

/** Shared: three tiles of rows, one of scores. */
template <class T, int columns>
VWN_DEVICE void attentionQueryGrad(const T *q, const T *k, const T *v, const T *dy, const float *statistics, T *dq,
                                   const AttentionSizes &s) {
  VWN_SHARED(float, queries);
  float *dOut = queries + attentionTile * (s.d + 1), *others = dOut + attentionTile * (s.d + 1);
  float *dScores = others + attentionTile * (s.d + 1);
  const QueryTile<T> tile = stageQueries(q, k, v, dy, s, queries, dOut);
  const Statistic of = statisticOf(statistics, s, blockIdx.y, tile.first + rowOfThread());
  float sums[columns] = {};
  for (int64_t key = 0; key < tile.end; key += attentionTile) {
    float scores[keysOfThread], products[keysOfThread];
    restage(tile.values, key, s.S, s.d, others);
    rowProducts(dOut, others, s.d, products);
    restage(tile.keys, key, s.S, s.d, others);
    rowProducts(queries, others, s.d, scores);
    for (int i = 0; i < keysOfThread; i++) {
      const int column = laneOfRow() + i * threadsOfRow;
      const float p = key + column < tile.seen ? expf(scores[i] * s.scale - of.logSum) : 0.0f;
      dScores[rowOfThread() * scoreStride + column] = p * (products[i] - of.dot) * s.scale;
    }
    __syncthreads();
    addProducts<columns>(dScores + rowOfThread() * scoreStride, 1, others, s.d, sums);
  }
  const Head<T> to = queryHead(dq, s, tile.batch, tile.head);
  writeRow<columns>(sums, 1.0f, to.data, to.stride, tile.first, s.T, s.d);
}
VWN_HEADS(attentionQueryGrad,
          (const real *q, const real *k, const real *v, const real *dy, const float *statistics, real *dq,
           AttentionSizes sizes),
          (q, k, v, dy, statistics, dq, sizes))

/** Tiles of one block of keys: k, v, then queries or their dy, and two of scores. */
struct KeyTiles {
  float *keys, *values, *others, *scores, *dScores;
};

/** p and dScore of 32 queries (rows) and 32 keys (columns); dy stands in `others` afterwards. */
template <class T>
VWN_DEVICE void scoresOfKeys(const KeyTiles &tiles, const Head<const T> &from, const Head<const T> &up,
                             const float *statistics, const AttentionSizes &s, int64_t head, int64_t first, int64_t key) {
  float scores[keysOfThread], products[keysOfThread];
  const int64_t query = first + rowOfThread(), seen = query < s.T ? s.S - s.T + query + 1 : 0;
  const Statistic of = statisticOf(statistics, s, head, query);
  restage(from, first, s.T, s.d, tiles.others);
  rowProducts(tiles.others, tiles.keys, s.d, scores);
  restage(up, first, s.T, s.d, tiles.others);
  rowProducts(tiles.others, tiles.values, s.d, products);
  for (int i = 0; i < keysOfThread; i++) {
    const int column = laneOfRow() + i * threadsOfRow, at = rowOfThread() * scoreStride + column;
    const float p = key + column < seen ? expf(scores[i] * s.scale - of.logSum) : 0.0f;
    tiles.scores[at] = p;
    tiles.dScores[at] = p * (products[i] - of.dot) * s.scale;
  }
  __syncthreads();
}

/** Grid: tiles of keys by x, key heads of all sequences by y. Shared: three tiles of rows, two of scores. */
template <class T, int columns>
VWN_DEVICE void attentionKeyGrad(const T *q, const T *k, const T *v, const T *dy, const float *statistics, T *dk, T *dv,
                                 const AttentionSizes &s) {
  VWN_SHARED(float, room);
  const int64_t tile = attentionTile * (s.d + 1), key = static_cast<int64_t>(blockIdx.x) * attentionTile;
  const KeyTiles tiles{room, room + tile, room + 2 * tile, room + 3 * tile, room + 3 * tile + attentionTile * scoreStride};
  const int64_t batch = blockIdx.y / s.K, keyHeadIndex = blockIdx.y % s.K, group = s.H / s.K;
  const Head<const T> keys = keyHead(k, s, batch, keyHeadIndex), values = keyHead(v, s, batch, keyHeadIndex);
  stageRows(keys.data, keys.stride, key, s.S, s.d, tiles.keys);
  stageRows(values.data, values.stride, key, s.S, s.d, tiles.values);
  // The first query that sees the first of these keys, and the tile that it is in.
  const int64_t earliest = key > s.S - s.T ? key - (s.S - s.T) : 0, start = earliest / attentionTile * attentionTile;
  float keySums[columns] = {}, valueSums[columns] = {};
  for (int64_t g = 0; g < group; g++) {
    const int64_t head = keyHeadIndex * group + g;
    const Head<const T> from = queryHead(q, s, batch, head), up = queryHead(dy, s, batch, head);
    for (int64_t first = start; first < s.T; first += attentionTile) {
      scoresOfKeys<T>(tiles, from, up, statistics, s, batch * s.H + head, first, key);
      addProducts<columns>(tiles.scores + rowOfThread(), scoreStride, tiles.others, s.d, valueSums);
      restage(from, first, s.T, s.d, tiles.others);
      addProducts<columns>(tiles.dScores + rowOfThread(), scoreStride, tiles.others, s.d, keySums);
    }
  }
  const Head<T> toKeys = keyHead(dk, s, batch, keyHeadIndex), toValues = keyHead(dv, s, batch, keyHeadIndex);
  writeRow<columns>(keySums, 1.0f, toKeys.data, toKeys.stride, key, s.S, s.d);
  writeRow<columns>(valueSums, 1.0f, toValues.data, toValues.stride, key, s.S, s.d);
}
VWN_HEADS(attentionKeyGrad,
          (const real *q, const real *k, const real *v, const real *dy, const float *statistics, real *dk, real *dv,
           AttentionSizes sizes),
          (q, k, v, dy, statistics, dk, dv, sizes))

}  // namespace
}  // namespace cuda
}  // namespace vwn
