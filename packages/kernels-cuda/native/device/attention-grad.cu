/**
 * Gradients of causal attention in three kernels without atomics: dot = Σ dy·y of every query; then dq, a block 32 queries;
 * then dk and dv, a block 32 keys and all queries that see them.
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

/** dots [B·H, T]: Σ dy·y of a head's row by a warp. Grid: any. */
template <class T>
VWN_DEVICE void attentionDots(const T *y, const T *dy, float *dots, const AttentionSizes &s) {
  const int lane = static_cast<int>(threadIdx.x) % warpSize_;
  for (int64_t row = gridThread() / warpSize_; row < s.B * s.T * s.H; row += gridThreads() / warpSize_) {
    float sum = 0;
    for (int64_t i = row * s.d + lane; i < (row + 1) * s.d; i += warpSize_) sum += toFloat(y[i]) * toFloat(dy[i]);
    sum = warpSum(sum);
    if (lane == 0) dots[placeOfRow(s, row)] = sum;
  }
}
VWN_FLOATS(attentionDots, (const real *y, const real *dy, float *dots, AttentionSizes sizes), (y, dy, dots, sizes))

/** Shared: three tiles of rows, one of scores. */
template <class T, int columns>
VWN_DEVICE void attentionQueryGrad(const T *q, const T *k, const T *v, const T *dy, const Statistics &statistics, T *dq,
                                   const AttentionSizes &s) {
  VWN_SHARED(float, queries);
  float *dOut = queries + attentionTile * (s.d + 1), *others = dOut + attentionTile * (s.d + 1);
  float *dScores = others + attentionTile * (s.d + 1);
  const QueryTile<T> tile = stageQueries(q, k, v, dy, s, queries, dOut);
  const Statistic of = statistics.of(s, blockIdx.y, tile.first + rowOfThread());
  float sums[columns] = {};
  for (int64_t key = 0; key < tile.end; key += attentionTile) {
    float scores[keysOfThread], products[keysOfThread];
    restage(tile.values, key, s.S, s.d, others);
    rowProducts(dOut, others, s.d, products);
    restage(tile.keys, key, s.S, s.d, others);
    rowProducts(queries, others, s.d, scores);
    for (int i = 0; i < keysOfThread; i++) {
      const int column = laneOfRow() + i * threadsOfRow;
      const float gradient = expf(scores[i] * s.scale - of.logSum) * (products[i] - of.dot) * s.scale;
      dScores[rowOfThread() * scoreStride + column] = key + column < tile.seen ? gradient : 0.0f;
    }
    __syncthreads();
    addProducts<columns>(dScores + rowOfThread() * scoreStride, 1, others, s.d, sums);
  }
  const Head<T> to = queryHead(dq, s, tile.batch, tile.head);
  writeRow<columns>(sums, 1.0f, to.data, to.stride, tile.first, s.T, s.d);
}
VWN_HEADS(attentionQueryGrad,
          (const real *q, const real *k, const real *v, const real *dy, const float *logSums, const float *dots, real *dq,
           AttentionSizes sizes),
          (q, k, v, dy, {logSums, dots}, dq, sizes))

/** Tiles of one block of keys: k, v, then queries or their dy, and two of scores. */
struct KeyTiles {
  float *keys, *values, *others, *scores, *dScores;
};

/** p and dScore of 32 queries (rows) and 32 keys (columns); dy stands in `others` afterwards. */
template <class T>
VWN_DEVICE void scoresOfKeys(const KeyTiles &tiles, const Head<const T> &from, const Head<const T> &up,
                             const Statistics &statistics, const AttentionSizes &s, int64_t head, int64_t first, int64_t key) {
  float scores[keysOfThread], products[keysOfThread];
  const int64_t query = first + rowOfThread(), seen = query < s.T ? s.S - s.T + query + 1 : 0;
  const Statistic of = statistics.of(s, head, query);
  restage(from, first, s.T, s.d, tiles.others);
  rowProducts(tiles.others, tiles.keys, s.d, scores);
  restage(up, first, s.T, s.d, tiles.others);
  rowProducts(tiles.others, tiles.values, s.d, products);
  for (int i = 0; i < keysOfThread; i++) {
    const int column = laneOfRow() + i * threadsOfRow, at = rowOfThread() * scoreStride + column;
    const float p = expf(scores[i] * s.scale - of.logSum);
    const bool isSeen = key + column < seen;
    tiles.scores[at] = isSeen ? p : 0.0f;
    tiles.dScores[at] = isSeen ? p * (products[i] - of.dot) * s.scale : 0.0f;
  }
  __syncthreads();
}

/** Grid: tiles of keys by x, key heads of all sequences by y. Shared: three tiles of rows, two of scores. */
template <class T, int columns>
VWN_DEVICE void attentionKeyGrad(const T *q, const T *k, const T *v, const T *dy, const Statistics &statistics, T *dk, T *dv,
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
          (const real *q, const real *k, const real *v, const real *dy, const float *logSums, const float *dots, real *dk,
           real *dv, AttentionSizes sizes),
          (q, k, v, dy, {logSums, dots}, dk, dv, sizes))

}  // namespace
}  // namespace cuda
}  // namespace vwn
