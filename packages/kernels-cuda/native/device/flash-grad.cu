/**
 * Gradients of causal attention by tensor cores, in three kernels without atomics, as in attention-grad.cu: Σ dy·y of every
 * query; dq, a block 128 queries; dk and dv, a block 64 or 128 keys and all queries that see them.
 */
#include "eights.h"
#include "flash-grad.h"

namespace vwn {
namespace cuda {
namespace {

/** dots [B·H, T]: Σ dy·y of a head's row, 8 columns a lane. Grid: any. */
template <int lanes>
VWN_DEVICE void flashDots(const bf16 *y, const bf16 *dy, float *dots, const AttentionSizes &s) {
  const int64_t rows = s.B * s.T * s.H;
  const int column = static_cast<int>(threadIdx.x) % lanes * 8;
  for (int64_t base = 0; base < rows; base += gridThreads() / lanes) {
    const int64_t row = base + gridThread() / lanes;
    float sum = 0;
    if (row < rows && column < s.d) {
      float a[8], b[8];
      load(y + row * s.d + column, a), load(dy + row * s.d + column, b);
#pragma unroll
      for (int i = 0; i < 8; i++) sum += a[i] * b[i];
    }
#pragma unroll
    for (int apart = lanes / 2; apart > 0; apart /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, apart);
    if (row < rows && column == 0) dots[placeOfRow(s, row)] = sum;
  }
}
namespace entry_flashDots {
extern "C" __global__ void __launch_bounds__(256, 1)
    flashDots_bf16(const bf16 *y, const bf16 *dy, float *dots, AttentionSizes sizes) {
  if (sizes.d <= flashMostColumns / 2) flashDots<flashLanesOfDot / 2>(y, dy, dots, sizes);
  else flashDots<flashLanesOfDot>(y, dy, dots, sizes);
}
VWN_REGISTER(flashDots_bf16)
}  // namespace entry_flashDots

/** p = exp(score·scale − logSum) of scores of one band; 0 where a score is −∞. `logSum` is times log2(e). */
template <int tiles>
VWN_DEVICE void toOwnProbabilities(float exponentScale, const float (&logSum)[2], Sum (&scores)[tiles]) {
#pragma unroll
  for (int j = 0; j < tiles; j++)
    for (int i = 0; i < 4; i++) scores[j].values[i] = powerOf2(scores[j].values[i] * exponentScale - logSum[i / 2]);
}
/** p·(dP − dot), dP = dy·v. */
template <int tiles>
VWN_DEVICE void timesOwnDifferences(const float (&dot)[2], const Sum (&products)[tiles], Sum (&probabilities)[tiles]) {
#pragma unroll
  for (int j = 0; j < tiles; j++)
    for (int i = 0; i < 4; i++) probabilities[j].values[i] *= products[j].values[i] - dot[i / 2];
}

/** Shared: queries, their dy, keys, values. Keys arrive while dy·v is made, the next values during the rest. */
template <int D>
VWN_DEVICE void flashQueryGrad(const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *dy, const Statistics &statistics, bf16 *dq,
                               const AttentionSizes &s) {
  using Tiles = FlashTiles<D>;
  constexpr int bands = Tiles::queryBands, rows = Tiles::queryRows, keyRows = Tiles::keysOfStep;
  VWN_SHARED(bf16, queries);
  bf16 *dOut = queries + rows * (D + 8), *keys = dOut + rows * (D + 8), *values = keys + keyRows * (D + 8);
  const FlashQueries<bands> tile(s);
  askFor<D, rows>(headOfQueries(q, s, tile.head), tile.first, s.T, s.d, queries);
  askFor<D, rows>(headOfQueries(dy, s, tile.head), tile.first, s.T, s.d, dOut);
  askFor<D, keyRows>(tile.keyHead(v, s), 0, s.S, s.d, values);
  commitCopies();
  float logSum[bands][2], dot[bands][2];
#pragma unroll
  for (int band = 0; band < bands; band++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const Statistic of = statistics.of(s, tile.head, tile.first + rowOfSum<bands>(band, half));
      logSum[band][half] = of.logSum * log2OfE;
      dot[band][half] = of.dot;
    }
  Sum sums[bands][D / 8] = {};
  for (int key = 0; key < tile.end; key += keyRows) {
    Sum products[bands][keyRows / 8], scores[bands][keyRows / 8];
    const int ahead = tile.ahead(s, key);
    const bool sees = warpSees<bands>(ahead);
    arrive<0>();
    askFor<D, keyRows>(tile.keyHead(k, s), key, s.S, s.d, keys);
    commitCopies();
    if (sees) rowsByRows<D>(dOut, values, products);
    arrive<0>();
    if (key + keyRows < tile.end) askFor<D, keyRows>(tile.keyHead(v, s), key + keyRows, s.S, s.d, values);
    commitCopies();
    if (!sees) continue;
    rowsByRows<D>(queries, keys, scores);
    hideUnseen(ahead, scores);
#pragma unroll
    for (int band = 0; band < bands; band++) {
      toOwnProbabilities(s.scale * log2OfE, logSum[band], scores[band]);
      timesOwnDifferences(dot[band], products[band], scores[band]);
    }
    addWeightedRows<D>(scores, keys, sums);
  }
  writeRows<D>(sums, s.scale, headOfQueries(dq, s, tile.head), tile.first, s.T, s.d);
}
VWN_FLASH(flashQueryGrad,
          (const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *dy, const float *logSums, const float *dots, bf16 *dq,
           AttentionSizes sizes),
          (q, k, v, dy, {logSums, dots}, dq, sizes))

template <int D>
using StepsOf = QueryWalk<FlashTiles<D>::queriesOfStep>;

/** Asks for the queries of one step, or their dy, and what is known of each. */
template <int D>
VWN_DEVICE void askForStep(const bf16 *q, const float *known, const StepsOf<D> &step, const AttentionSizes &s, bf16 *tile) {
  askFor<D, StepsOf<D>::rows>(headOfQueries(q, s, step.head), step.query, s.T, s.d, tile);
  askFor<D, StepsOf<D>::rows>(known + step.head * s.T, step.query, s.T, tile);
}

/** Whether a query of a step does not see a key of this warp's bands, rows: query i sees those up to row `ahead` + i. */
template <int bands>
VWN_DEVICE bool hidesKeys(int ahead) {
  return firstRowOfWarp<bands>() + 16 * bands - 1 > ahead;
}

/** scores ∘ (products − dot) of keys (rows) and queries (columns); 0 where a query does not see a key, whatever its dot may be. */
template <bool hides, int bands, int tiles, class Dots>
VWN_DEVICE void timesDifferences(const Sum (&products)[bands][tiles], const Dots &dotOf, Sum (&scores)[bands][tiles]) {
  eachQuery<tiles>(dotOf, [&](int j, int i, float dot) {
#pragma unroll
    for (int band = 0; band < bands; band++)
      for (int at = i; at < 4; at += 2) {
        float &score = scores[band][j].values[at];
        score = hides && score == 0.0f ? 0.0f : score * (products[band][j].values[at] - dot);
      }
  });
}

/**
 * Grid: tiles of keys by x, key heads of all sequences by y. Shared: keys, values, dy with its dots, twice queries with their
 * log-sums. The next queries arrive while this step computes.
 */
template <int D>
VWN_DEVICE void flashKeyGrad(const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *dy,
                             const Statistics &statistics, bf16 *dk, bf16 *dv, const AttentionSizes &s) {
  using Tiles = FlashTiles<D>;
  constexpr int bands = Tiles::keyBands, keyRows = Tiles::keyRows, rows = Tiles::queriesOfStep, tiles = rows / 8;
  VWN_SHARED(bf16, keys);
  bf16 *values = keys + keyRows * (D + 8), *dOut = values + keyRows * (D + 8), *queries = dOut + rows * (D + 8);
  const int key = static_cast<int>(blockIdx.x) * keyRows;
  StepsOf<D> step(s, static_cast<int>(blockIdx.y), key);
  askFor<D, keyRows>(keyHead(k, s, blockIdx.y / s.K, blockIdx.y % s.K), key, s.S, s.d, keys);
  askFor<D, keyRows>(keyHead(v, s, blockIdx.y / s.K, blockIdx.y % s.K), key, s.S, s.d, values);
  if (step.left > 0) askForStep<D>(q, statistics.logSums, step, s, queries);
  commitCopies();
  Sum keySums[bands][D / 8] = {}, valueSums[bands][D / 8] = {};
  // Of the two places for queries: this step's, and the next one's.
  for (int place = 0; step.left > 0; place ^= 1) {
    const bf16 *now = queries + place * rows * (D + 8);
    const int ahead = static_cast<int>(s.S - s.T) + step.query - key;
    // The last of these queries sees the most.
    const bool isSeen = firstRowOfWarp<bands>() <= ahead + rows - 1, hides = hidesKeys<bands>(ahead);
    arrive<0>();
    askForStep<D>(dy, statistics.dots, step, s, dOut);
    commitCopies();
    step.next(s, key);
    if (step.left > 0) askForStep<D>(q, statistics.logSums, step, s, queries + (place ^ 1) * rows * (D + 8));
    commitCopies();
    Sum scores[bands][tiles], products[bands][tiles];
    if (isSeen) {
      rowsByRows<D>(keys, now, scores);
      const auto logSumOf = [&](int query) { return numberOfRow<D>(now, query); };
      if (hides) toProbabilities<true>(s.scale * log2OfE, ahead, logSumOf, scores);
      else toProbabilities<false>(s.scale * log2OfE, ahead, logSumOf, scores);
    }
    arrive<1>();
    if (!isSeen) continue;
    addWeightedRows<D>(scores, dOut, valueSums);
    rowsByRows<D>(values, dOut, products);
    const auto dotOf = [&](int query) { return numberOfRow<D>(dOut, query); };
    if (hides) timesDifferences<true>(products, dotOf, scores);
    else timesDifferences<false>(products, dotOf, scores);
    addWeightedRows<D>(scores, now, keySums);
  }
  writeRows<D>(keySums, s.scale, keyHead(dk, s, blockIdx.y / s.K, blockIdx.y % s.K), key, s.S, s.d);
  writeRows<D>(valueSums, 1.0f, keyHead(dv, s, blockIdx.y / s.K, blockIdx.y % s.K), key, s.S, s.d);
}
VWN_FLASH(flashKeyGrad,
          (const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *dy, const float *logSums, const float *dots, bf16 *dk,
           bf16 *dv, AttentionSizes sizes),
          (q, k, v, dy, {logSums, dots}, dk, dv, sizes))

}  // namespace
}  // namespace cuda
}  // namespace vwn
