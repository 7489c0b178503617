/**
 * Causal attention by warpgroups with online softmax, as flash.cu: a block takes 128 queries of one head through the keys that they
 * see. While a step's exponentials are made of its scores, values of the step before are added; the next keys and values arrive
 * meanwhile. Queries stay in registers.
 */
#include "hopper-flash.h"

namespace vwn {
namespace cuda {
namespace {

#if defined(VWN_HAS_WARPGROUPS)
/** y, and the log of every query's sum of exponentials, logSums [B·H, T]. */
template <int D>
VWN_DEVICE void writeQueries(const HopperQueries &tile, const OnlineSoftmax &softmax, const Sum (&sums)[1][D / 8], bf16 *y,
                             float *logSums, const AttentionSizes &s) {
  float factors[1][2];
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const float total = softmax.total[half];
    const int query = tile.first + rowOfSum<1>(0, half);
    factors[0][half] = 1.0f / total;
    if (query < s.T && laneOfWarp() % 4 == 0)
      logSums[tile.head * s.T + query] = softmax.most[half] * s.scale + logf(total);
  }
  writeRows<D>(sums, factors, headOfQueries(y, s, tile.head), tile.first, s.T, s.d);
}

/** Where no row of the warp has found a larger score, as in most steps, there is nothing to do. */
template <int tiles>
VWN_DEVICE void shrinkSums(const float (&shrink)[2], Sum (&sums)[tiles]) {
  if (votes(shrink[0] != 1.0f || shrink[1] != 1.0f) == 0) return;
#pragma unroll
  for (int j = 0; j < tiles; j++)
    for (int i = 0; i < 4; i++) sums[j].values[i] *= shrink[i / 2];
}

/** Shared: a tile of queries, two of keys, two of values. */
template <int D>
VWN_DEVICE void hopperFlash(const bf16 *q, const bf16 *k, const bf16 *v, bf16 *y, float *logSums, const AttentionSizes &s) {
  constexpr int keyRows = HopperTiles<D>::keysOfStep, tiles = keyRows / 8, ofTile = keyRows * D;
  VWN_SHARED_SLABS(queries);
  bf16 *keys = queries + hopperRows * D, *values = keys + 2 * ofTile;
  const HopperQueries tile(s);
  const int group = groupOfBlock();
  const int stride = static_cast<int>(s.K * s.d), count = static_cast<int>(s.S), d = static_cast<int>(s.d);
  const auto keysAt = [&](const bf16 *from, int64_t place, int key, bf16 *to) {
    if (key < tile.end) askForSlabs<D, keyRows>(from + place, stride, count - key, d, from, to);
  };
  askForSlabs<D, hopperRows>(headOfQueries(q, s, tile.head), tile.first, s.T, s.d, queries);
  int64_t place = tile.ofKeys; /* where the next step's values are in v */
  keysAt(k, place, 0, keys);
  commitCopies();
  arriveForProducts();
  keysAt(v, place, 0, values);
  place += keyRows * stride;
  keysAt(k, place, keyRows, keys + ofTile);
  commitCopies();
  Left own[D / 16];
#pragma unroll
  for (int i = 0; i < D / 16; i++) own[i] = leftOfSlabs(queries, hopperRows, firstRowOfWarp<1>(), i * 16);
  Sum scores[1][tiles], sums[1][D / 8] = {};
  Left weights[tiles / 2];
  OnlineSoftmax softmax;
  float shrink[2];
  const auto takeScores = [&](int key) {
    holdSums(scores[0]);
    hideUnseen<1>(tile.ahead(s, key), scores);
    softmax.take(scores[0], s.scale * log2OfE, shrink);
  };
  beginProducts();
  groupRowsByRows<D>(own, keys, scores[0]);
  commitProducts();
  awaitProducts<0>();
  takeScores(0);
  toLefts(scores[0], weights);
  for (int key = 0, part = 0; key < tile.end; key += keyRows, part ^= 1) {
    const int next = key + keyRows;
    const bool sees = groupSees(group, tile.ahead(s, key)), seesNext = next < tile.end && groupSees(group, tile.ahead(s, next));
    arriveForProducts();
    keysAt(v, place, next, values + (part ^ 1) * ofTile);
    place += keyRows * stride;
    keysAt(k, place, next + keyRows, keys + part * ofTile);
    commitCopies();
    if (seesNext) {
      beginProducts();
      groupRowsByRows<D>(own, keys + (part ^ 1) * ofTile, scores[0]);
      commitProducts();
      addGroupWeightedRows<D>(weights, values + part * ofTile, sums[0]);
      commitProducts();
      awaitProducts<1>();
      takeScores(next);
      holdSums(scores[0]);
      awaitProductsLast(s.T);
      holdSums(sums[0]);
      shrinkSums(shrink, sums[0]);
      toLefts(scores[0], weights);
    } else if (sees) {
      beginProducts();
      addGroupWeightedRows<D>(weights, values + part * ofTile, sums[0]);
      commitProducts();
      awaitProducts<0>();
      holdSums(sums[0]);
    }
  }
  writeQueries<D>(tile, softmax, sums, y, logSums, s);
}
#endif
VWN_HOPPER_FLASH(hopperFlash, hopperThreads, blocks, (const bf16 *q, const bf16 *k, const bf16 *v, bf16 *y, float *logSums, AttentionSizes sizes),
                 (q, k, v, y, logSums, sizes))

}  // namespace
}  // namespace cuda
}  // namespace vwn
