/**
 * Gradients of causal attention by warpgroups, without atomics, as flash-grad.cu, which makes the dots: dq, a block 128 queries;
 * dk and dv, a block 64 or 128 keys and all queries that see them. The next tiles arrive while this step computes.
 */
#include "flash-grad.h"
#include "hopper-flash.h"

namespace vwn {
namespace cuda {
namespace {

#if defined(VWN_HAS_WARPGROUPS)
/** Shared: queries, their dy, twice keys, twice values. */
template <int D>
VWN_DEVICE void hopperQueryGrad(const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *dy, const Statistics &statistics,
                                bf16 *dq, const AttentionSizes &s) {
  constexpr int keyRows = HopperTiles<D>::keysOfGradStep, tiles = keyRows / 8, ofTile = keyRows * D;
  VWN_SHARED_SLABS(queries);
  bf16 *dOut = queries + hopperRows * D, *keys = dOut + hopperRows * D, *values = keys + 2 * ofTile;
  const HopperQueries tile(s);
  const int group = groupOfBlock();
  const auto ask = [&](int key, int place) {
    if (key >= tile.end) return;
    askForSlabs<D, keyRows>(tile.keyHead(k, s), key, s.S, s.d, keys + place * ofTile);
    askForSlabs<D, keyRows>(tile.keyHead(v, s), key, s.S, s.d, values + place * ofTile);
  };
  askForSlabs<D, hopperRows>(headOfQueries(q, s, tile.head), tile.first, s.T, s.d, queries);
  askForSlabs<D, hopperRows>(headOfQueries(dy, s, tile.head), tile.first, s.T, s.d, dOut);
  ask(0, 0);
  commitCopies();
  float logSum[2], dot[2];
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const Statistic of = statistics.of(s, tile.head, tile.first + rowOfSum<1>(0, half));
    logSum[half] = of.logSum * log2OfE;
    dot[half] = of.dot;
  }
  Sum sums[1][D / 8] = {};
  for (int key = 0, place = 0; key < tile.end; key += keyRows, place ^= 1) {
    const int ahead = tile.ahead(s, key);
    arriveForProducts();
    ask(key + keyRows, place ^ 1);
    commitCopies();
    if (!groupSees(group, ahead)) continue;
    Sum scores[1][tiles], products[tiles];
    beginProducts();
    groupRowsByRows<D>(queries, hopperRows, group * groupRows, keys + place * ofTile, scores[0]);
    commitProducts();
    groupRowsByRows<D>(dOut, hopperRows, group * groupRows, values + place * ofTile, products);
    commitProducts();
    // Exponentials are made while dy·v is.
    awaitProducts<1>();
    holdSums(scores[0]);
    hideUnseen<1>(ahead, scores);
    toOwnProbabilities(s.scale * log2OfE, logSum, scores[0]);
    awaitProducts<0>();
    holdSums(products);
    timesOwnDifferences(dot, products, scores[0]);
    Left factors[tiles / 2];
    toLefts(scores[0], factors);
    beginProducts();
    addGroupWeightedRows<D>(factors, keys + place * ofTile, sums[0]);
    commitProducts();
    awaitProducts<0>();
    holdSums(sums[0]);
  }
  writeRows<D>(sums, s.scale, headOfQueries(dq, s, tile.head), tile.first, s.T, s.d);
}

/** Where a step's queries and dy lie, and what is known of each query. */
struct StepRoom {
  bf16 *queries, *dOut;
  float *logSums, *dots;
};

/**
 * One step of queries, whose scores and dy·v have been asked for, in this order: probabilities are made while dy·v is, and what they are
 * multiplied by while they weigh dy. `hides`: whether a query does not see one of the group's keys.
 */
template <bool hides, int D, int tiles>
VWN_DEVICE void addStep(const StepRoom &step, float exponentScale, int ahead, Sum (&scores)[1][tiles], Sum (&products)[1][tiles],
                        Sum (&keySums)[1][D / 8], Sum (&valueSums)[1][D / 8]) {
  awaitProducts<1>();
  holdSums(scores[0]);
  Left probabilities[tiles / 2], factors[tiles / 2];
  toProbabilities<hides>(exponentScale, ahead, [&](int query) { return step.logSums[query]; }, scores);
  toLefts(scores[0], probabilities);
  beginProducts();
  addGroupWeightedRows<D>(probabilities, step.dOut, valueSums[0]);
  commitProducts();
  awaitProducts<1>();
  holdSums(products[0]);
  timesDifferences<hides>(products, [&](int query) { return step.dots[query]; }, scores);
  toLefts(scores[0], factors);
  beginProducts();
  addGroupWeightedRows<D>(factors, step.queries, keySums[0]);
  commitProducts();
  awaitProducts<0>();
}

/** Grid: tiles of keys by x, key heads of all sequences by y. Shared: keys, values, twice a step's queries and dy. */
template <int D>
VWN_DEVICE void hopperKeyGrad(const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *dy, const Statistics &statistics, bf16 *dk,
                              bf16 *dv, const AttentionSizes &s) {
  using Tiles = HopperTiles<D>;
  constexpr int rows = Tiles::queriesOfStep, tiles = rows / 8, ofTile = rows * D, keyRows = Tiles::keyRows, threads = Tiles::keyThreads;
  VWN_SHARED_SLABS(keys);
  bf16 *values = keys + keyRows * D, *steps = values + keyRows * D;
  const auto roomAt = [&](int place) {
    float *known = reinterpret_cast<float *>(steps + 4 * ofTile) + place * 2 * rows;
    return StepRoom{steps + place * 2 * ofTile, steps + (place * 2 + 1) * ofTile, known, known + rows};
  };
  const int key = static_cast<int>(blockIdx.x) * keyRows, group = groupOfBlock();
  QueryWalk<rows> step(s, key);
  const auto ask = [&](const StepRoom &to) {
    if (step.left <= 0) return;
    askForSlabs<D, rows, threads>(headOfQueries(q, s, step.head), step.query, s.T, s.d, to.queries);
    askForSlabs<D, rows, threads>(headOfQueries(dy, s, step.head), step.query, s.T, s.d, to.dOut);
    const int row = static_cast<int>(threadIdx.x) % rows, of = static_cast<int>(threadIdx.x) / rows;
    if (of > 1) return;
    const float *from = (of ? statistics.dots : statistics.logSums) + step.head * s.T;
    const bool isThere = step.query + row < s.T;
    copyAsync<4>((of ? to.dots : to.logSums) + row, isThere ? from + step.query + row : from, isThere);
  };
  askForSlabs<D, keyRows, threads>(keyHead(k, s, blockIdx.y / s.K, blockIdx.y % s.K), key, s.S, s.d, keys);
  askForSlabs<D, keyRows, threads>(keyHead(v, s, blockIdx.y / s.K, blockIdx.y % s.K), key, s.S, s.d, values);
  ask(roomAt(0));
  commitCopies();
  Sum keySums[1][D / 8] = {}, valueSums[1][D / 8] = {};
  for (int place = 0; step.left > 0; place ^= 1) {
    const StepRoom now = roomAt(place);
    const int ahead = static_cast<int>(s.S - s.T) + step.query - key;
    // The last of these queries sees the most.
    const bool isSeen = group * groupRows <= ahead + rows - 1;
    arriveForProducts();
    step.next(s, key);
    ask(roomAt(place ^ 1));
    commitCopies();
    if (!isSeen) continue;
    Sum scores[1][tiles], products[1][tiles];
    beginProducts();
    groupRowsByRows<D>(keys, keyRows, group * groupRows, now.queries, scores[0]);
    commitProducts();
    groupRowsByRows<D>(values, keyRows, group * groupRows, now.dOut, products[0]);
    commitProducts();
    if (group * groupRows + groupRows - 1 > ahead) addStep<true, D>(now, s.scale * log2OfE, ahead, scores, products, keySums, valueSums);
    else addStep<false, D>(now, s.scale * log2OfE, ahead, scores, products, keySums, valueSums);
    holdSums(valueSums[0]);
    holdSums(keySums[0]);
  }
  writeRows<D>(keySums, s.scale, keyHead(dk, s, blockIdx.y / s.K, blockIdx.y % s.K), key, s.S, s.d);
  writeRows<D>(valueSums, 1.0f, keyHead(dv, s, blockIdx.y / s.K, blockIdx.y % s.K), key, s.S, s.d);
}
#endif
VWN_HOPPER_FLASH(hopperQueryGrad, hopperThreads, blocks,
                 (const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *dy, const float *logSums, const float *dots, bf16 *dq,
                  AttentionSizes sizes),
                 (q, k, v, dy, {logSums, dots}, dq, sizes))
VWN_HOPPER_FLASH(hopperKeyGrad, Tiles::keyThreads, keyBlocks,
                 (const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *dy, const float *logSums, const float *dots, bf16 *dk,
                  bf16 *dv, AttentionSizes sizes),
                 (q, k, v, dy, {logSums, dots}, dk, dv, sizes))

}  // namespace
}  // namespace cuda
}  // namespace vwn
