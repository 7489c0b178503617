/**
 * Gradients of causal attention by tensor cores, in three kernels without atomics, as in attention-grad.cu: statistics of
 * every query; dq, a block 64 queries; dk and dv, a block 64 keys and all queries that see them.
 */
#include "flash.h"

namespace vwn {
namespace cuda {
namespace {

/** Tiles that a block of queries needs: its own two, and keys and values in turns. */
template <int D>
struct QueryTiles {
  bf16 *queries, *dOut, *keys, *values;
};
template <int D>
VWN_DEVICE QueryTiles<D> queryTiles(bf16 *room) {
  constexpr int tile = flashTile * (D + 8);
  return {room, room + tile, room + 2 * tile, room + 3 * tile};
}

/** Asks for the queries, their dy, and the first values. */
template <int D>
VWN_DEVICE void askForQueries(const QueryTiles<D> &tiles, const FlashQueries &tile, const bf16 *q, const bf16 *dy,
                              const AttentionSizes &s) {
  askFor<D, flashTile>(queryHead(q, s, tile.batch, tile.head), tile.first, s.T, s.d, tiles.queries);
  askFor<D, flashTile>(queryHead(dy, s, tile.batch, tile.head), tile.first, s.T, s.d, tiles.dOut);
  askFor<D, flashTile>(tile.values, 0, s.S, s.d, tiles.values);
  commitCopies();
}

/**
 * Of the t-th 64 keys: dy·v and q·k (−∞ where unseen). Keys arrive during the first, the next values during what follows;
 * keys stay until the next call.
 */
template <int D>
VWN_DEVICE void productsWithKeys(const QueryTiles<D> &tiles, const FlashQueries &tile, int64_t t, const AttentionSizes &s,
                                 Sum (&products)[flashTile / 8], Sum (&scores)[flashTile / 8]) {
  arrive<0>();
  askFor<D, flashTile>(tile.keys, t * flashTile, s.S, s.d, tiles.keys);
  commitCopies();
  rowsByRows<D>(tiles.dOut, tiles.values, products);
  arrive<0>();
  if (t + 1 < tile.tiles) askFor<D, flashTile>(tile.values, (t + 1) * flashTile, s.S, s.d, tiles.values);
  commitCopies();
  rowsByRows<D>(tiles.queries, tiles.keys, scores);
  hideUnseen(t * flashTile, tile.seen, scores);
}

/** Shared: four tiles. */
template <int D>
VWN_DEVICE void flashStatistics(const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *dy, float *statistics,
                                const AttentionSizes &s) {
  VWN_SHARED(bf16, room);
  const QueryTiles<D> tiles = queryTiles<D>(room);
  const FlashQueries tile = flashQueries(s, k, v);
  askForQueries(tiles, tile, q, dy, s);
  OnlineSoftmax softmax;
  float dots[2] = {0, 0};
  for (int64_t t = 0; t < tile.tiles; t++) {
    Sum products[flashTile / 8], scores[flashTile / 8];
    float shrink[2], parts[2] = {0, 0};
    productsWithKeys(tiles, tile, t, s, products, scores);
    softmax.take(scores, s.scale * log2OfE, shrink);
#pragma unroll
    for (int j = 0; j < flashTile / 8; j++)
      for (int i = 0; i < 4; i++) parts[i / 2] += scores[j].values[i] * products[j].values[i];
    for (int half = 0; half < 2; half++) dots[half] = dots[half] * shrink[half] + sumOverLanes(parts[half]);
  }
  for (int half = 0; half < 2; half++) {
    const int64_t query = tile.first + rowOfSum(half);
    if (query >= s.T || laneOfWarp() % 4 > 0) continue;
    const int64_t at = (static_cast<int64_t>(blockIdx.y) * s.T + query) * 2;
    statistics[at] = softmax.most[half] * s.scale + logf(softmax.total[half]);
    statistics[at + 1] = dots[half] / softmax.total[half];
  }
}
VWN_FLASH(flashStatistics,
          (const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *dy, float *statistics, AttentionSizes sizes),
          (q, k, v, dy, statistics, sizes))

/** Shared: four tiles. */
template <int D>
VWN_DEVICE void flashQueryGrad(const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *dy, const float *statistics, bf16 *dq,
                               const AttentionSizes &s) {
  VWN_SHARED(bf16, room);
  const QueryTiles<D> tiles = queryTiles<D>(room);
  const FlashQueries tile = flashQueries(s, k, v);
  askForQueries(tiles, tile, q, dy, s);
  Statistic of[2];
  for (int half = 0; half < 2; half++) of[half] = statisticOf(statistics, s, blockIdx.y, tile.first + rowOfSum(half));
  Sum sums[D / 8] = {};
  for (int64_t t = 0; t < tile.tiles; t++) {
    Sum products[flashTile / 8], scores[flashTile / 8];
    productsWithKeys(tiles, tile, t, s, products, scores);
#pragma unroll
    for (int j = 0; j < flashTile / 8; j++)
      for (int i = 0; i < 4; i++) {
        const float p = exp2f((scores[j].values[i] * s.scale - of[i / 2].logSum) * log2OfE);
        scores[j].values[i] = p * (products[j].values[i] - of[i / 2].dot);
      }
    addWeightedRows<D>(scores, tiles.keys, sums);
  }
  const float factors[2] = {s.scale, s.scale};
  writeRows<D>(sums, factors, queryHead(dq, s, tile.batch, tile.head), tile.first, s.T, s.d);
}
VWN_FLASH(flashQueryGrad,
          (const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *dy, const float *statistics, bf16 *dq,
           AttentionSizes sizes),
          (q, k, v, dy, statistics, dq, sizes))

/** What a block of keys is taken past: query heads of its group, and tiles of their queries, one after the other. */
struct QueryWalk {
  int64_t batch, firstHead;
  int firstTile, tilesOfHead, count;
};
template <int D>
VWN_DEVICE QueryWalk queryWalk(const AttentionSizes &s, int64_t key) {
  constexpr int rows = queryRowsOf<D>;
  const int64_t group = s.H / s.K, past = s.S - s.T;
  const int firstTile = static_cast<int>((key > past ? key - past : 0) / rows);
  const int tilesOfHead = static_cast<int>((s.T + rows - 1) / rows) - firstTile;
  return {static_cast<int64_t>(blockIdx.y) / s.K, static_cast<int64_t>(blockIdx.y) % s.K * group, firstTile, tilesOfHead,
          static_cast<int>(group) * tilesOfHead};
}

/** Queries (or their dy) of one step of the walk. */
template <int D>
VWN_DEVICE void askForStep(const bf16 *q, const QueryWalk &walk, int step, const AttentionSizes &s, bf16 *tile) {
  constexpr int rows = queryRowsOf<D>;
  const int64_t first = static_cast<int64_t>(walk.firstTile + step % walk.tilesOfHead) * rows;
  askFor<D, rows>(queryHead(q, s, walk.batch, walk.firstHead + step / walk.tilesOfHead), first, s.T, s.d, tile);
}

/** p of keys (rows) and queries (columns) from their scores, and Σ p·(dy·v) of each query beside it. */
template <int tiles>
VWN_DEVICE void toProbabilities(const float *statistics, const AttentionSizes &s, int64_t head, int64_t query, int64_t key,
                                Sum (&scores)[tiles], float (&dots)[tiles][2]) {
  const int64_t left = s.T - query, ahead = s.S - s.T + query - key;
  const int queries = static_cast<int>(left < 8 * tiles ? left : 8 * tiles);
  const int past = static_cast<int>(ahead < flashTile ? ahead : flashTile);
#pragma unroll
  for (int j = 0; j < tiles; j++)
    for (int i = 0; i < 2; i++) {
      // Of the block's keys the query sees so many.
      const int at = columnOfSum(j, i), seen = at < queries ? past + at + 1 : 0;
      const Statistic of = statisticOf(statistics, s, head, query + at);
      dots[j][i] = of.dot;
      for (int half = 0; half < 2; half++) {
        float &score = scores[j].values[2 * half + i];
        score = rowOfSum(half) < seen ? exp2f((score * s.scale - of.logSum) * log2OfE) : 0.0f;
      }
    }
}

/**
 * Grid: tiles of keys by x, key heads of all sequences by y. Shared: tiles of keys and values, two of queries and one of
 * their dy. The next queries arrive while this step computes.
 */
template <int D>
VWN_DEVICE void flashKeyGrad(const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *dy, const float *statistics, bf16 *dk,
                             bf16 *dv, const AttentionSizes &s) {
  constexpr int rows = queryRowsOf<D>, tiles = rows / 8;
  VWN_SHARED(bf16, keys);
  bf16 *values = keys + flashTile * (D + 8), *dOut = values + flashTile * (D + 8), *queries = dOut + rows * (D + 8);
  const int64_t key = static_cast<int64_t>(blockIdx.x) * flashTile;
  const QueryWalk walk = queryWalk<D>(s, key);
  const int64_t keyHeadIndex = blockIdx.y % s.K;
  askFor<D, flashTile>(keyHead(k, s, walk.batch, keyHeadIndex), key, s.S, s.d, keys);
  askFor<D, flashTile>(keyHead(v, s, walk.batch, keyHeadIndex), key, s.S, s.d, values);
  askForStep<D>(q, walk, 0, s, queries);
  commitCopies();
  Sum keySums[D / 8] = {}, valueSums[D / 8] = {};
  for (int step = 0; step < walk.count; step++) {
    bf16 *now = queries + step % 2 * rows * (D + 8), *next = queries + (step + 1) % 2 * rows * (D + 8);
    arrive<0>();
    askForStep<D>(dy, walk, step, s, dOut);
    commitCopies();
    if (step + 1 < walk.count) askForStep<D>(q, walk, step + 1, s, next);
    commitCopies();
    Sum scores[tiles], products[tiles];
    float dots[tiles][2];
    rowsByRows<D>(keys, now, scores);
    toProbabilities(statistics, s, walk.batch * s.H + walk.firstHead + step / walk.tilesOfHead,
                    static_cast<int64_t>(walk.firstTile + step % walk.tilesOfHead) * rows, key, scores, dots);
    arrive<1>();
    addWeightedRows<D>(scores, dOut, valueSums);
    rowsByRows<D>(values, dOut, products);
#pragma unroll
    for (int j = 0; j < tiles; j++)
      for (int i = 0; i < 4; i++) scores[j].values[i] *= products[j].values[i] - dots[j][i % 2];
    addWeightedRows<D>(scores, now, keySums);
  }
  const float scaled[2] = {s.scale, s.scale}, plain[2] = {1, 1};
  writeRows<D>(keySums, scaled, keyHead(dk, s, walk.batch, keyHeadIndex), key, s.S, s.d);
  writeRows<D>(valueSums, plain, keyHead(dv, s, walk.batch, keyHeadIndex), key, s.S, s.d);
}
VWN_FLASH(flashKeyGrad,
          (const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *dy, const float *statistics, bf16 *dk, bf16 *dv,
           AttentionSizes sizes),
          (q, k, v, dy, statistics, dk, dv, sizes))

}  // namespace
}  // namespace cuda
}  // namespace vwn
