/**
 * Gradients of causal attention by tensor cores, in three kernels without atomics, as in attention-grad.cu: Σ dy·y of every
 * query; dq, a block 128 queries; dk and dv, a block 64 or 128 keys and all queries that see them.
 */
#include "flash.h"

namespace vwn {
namespace cuda {
namespace {

struct alignas(16) Eight {
  uint32_t pairs[4];
};

/** dots [B·H, T]: Σ dy·y of a head's row, 8 columns a lane. Grid: any. */
VWN_DEVICE void flashDots(const bf16 *y, const bf16 *dy, float *dots, const AttentionSizes &s) {
  constexpr int lanes = flashLanesOfDot;
  const int64_t rows = s.B * s.T * s.H;
  const int column = static_cast<int>(threadIdx.x) % lanes * 8;
  for (int64_t base = 0; base < rows; base += gridThreads() / lanes) {
    const int64_t row = base + gridThread() / lanes;
    float sum = 0;
    if (row < rows && column < s.d) {
      const auto a = wholeAt<Eight>(y + row * s.d + column), b = wholeAt<Eight>(dy + row * s.d + column);
      for (int i = 0; i < 4; i++) sum += lowerOf(a.pairs[i]) * lowerOf(b.pairs[i]) + upperOf(a.pairs[i]) * upperOf(b.pairs[i]);
    }
    for (int apart = lanes / 2; apart > 0; apart /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, apart);
    if (row < rows && column == 0) dots[placeOfRow(s, row)] = sum;
  }
}
namespace entry_flashDots {
extern "C" __global__ void __launch_bounds__(256, 1)
    flashDots_bf16(const bf16 *y, const bf16 *dy, float *dots, AttentionSizes sizes) {
  flashDots(y, dy, dots, sizes);
}
VWN_REGISTER(flashDots_bf16)
}  // namespace entry_flashDots

/**
 * p·(dP − dot) of scores and dP = dy·v, of one band; p = exp(score·scale − logSum) is 0 where a score is −∞.
 * `logSum` is times log2(e).
 */
template <int tiles>
VWN_DEVICE void toScoreGradients(float exponentScale, const float (&logSum)[2], const float (&dot)[2],
                                 const Sum (&products)[tiles], Sum (&scores)[tiles]) {
#pragma unroll
  for (int j = 0; j < tiles; j++)
    for (int i = 0; i < 4; i++) {
      const float p = powerOf2(scores[j].values[i] * exponentScale - logSum[i / 2]);
      scores[j].values[i] = p * (products[j].values[i] - dot[i / 2]);
    }
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
    for (int band = 0; band < bands; band++)
      toScoreGradients(s.scale * log2OfE, logSum[band], dot[band], products[band], scores[band]);
    addWeightedRows<D>(scores, keys, sums);
  }
  writeRows<D>(sums, s.scale, headOfQueries(dq, s, tile.head), tile.first, s.T, s.d);
}
VWN_FLASH(flashQueryGrad,
          (const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *dy, const float *logSums, const float *dots, bf16 *dq,
           AttentionSizes sizes),
          (q, k, v, dy, {logSums, dots}, dq, sizes))

/** Steps of a block of keys past the queries that see them, heads of its group one after the other. */
template <int D>
struct QueryWalk {
  static constexpr int rows = FlashTiles<D>::queriesOfStep;
  int head, query, left; /* of all sequences' heads; the first of this step's rows; steps, this one among them */

  VWN_DEVICE QueryWalk(const AttentionSizes &s, int key) : query(firstQuery(s, key)) {
    const int group = static_cast<int>(s.H / s.K), queries = static_cast<int>(s.T) - query;
    head = static_cast<int>(blockIdx.y) * group;
    left = queries > 0 ? (queries + rows - 1) / rows * group : 0;
  }
  VWN_DEVICE static int firstQuery(const AttentionSizes &s, int key) {
    const int past = static_cast<int>(s.S - s.T);
    return (key > past ? key - past : 0) / rows * rows;
  }
  VWN_DEVICE void next(const AttentionSizes &s, int key) {
    left--;
    query += rows;
    if (query < s.T) return;
    query = firstQuery(s, key);
    head++;
  }
};

/** Asks for the queries of one step, or their dy, and what is known of each. */
template <int D>
VWN_DEVICE void askForStep(const bf16 *q, const float *known, const QueryWalk<D> &step, const AttentionSizes &s, bf16 *tile) {
  askFor<D, QueryWalk<D>::rows>(headOfQueries(q, s, step.head), step.query, s.T, s.d, tile);
  askFor<D, QueryWalk<D>::rows>(known + step.head * s.T, step.query, s.T, tile);
}

/**
 * p of keys (rows) and queries (columns) from their scores; 0 where a query does not see a key: query i sees those up to row
 * `ahead` + i. Beyond the last query p is 1, but what it multiplies is 0.
 */
template <int D, int bands, int tiles>
VWN_DEVICE void toProbabilities(float exponentScale, int ahead, const bf16 *queries, Sum (&scores)[bands][tiles]) {
  const bool seesAll = firstRowOfWarp<bands>() + 16 * bands - 1 <= ahead;
#pragma unroll
  for (int j = 0; j < tiles; j++)
    for (int i = 0; i < 2; i++) {
      const int query = columnOfSum(j, i);
      const float logSum = numberOfRow<D>(queries, query) * log2OfE;
#pragma unroll
      for (int band = 0; band < bands; band++)
        for (int half = 0; half < 2; half++) {
          float &score = scores[band][j].values[2 * half + i];
          const bool sees = seesAll || rowOfSum<bands>(band, half) <= ahead + query;
          score = sees ? powerOf2(score * exponentScale - logSum) : 0.0f;
        }
    }
}

/** scores ∘ (products − dot) of keys (rows) and queries (columns); 0 of what is 0, whatever the query's dot may be. */
template <int D, int bands, int tiles>
VWN_DEVICE void timesDifferences(const Sum (&products)[bands][tiles], const bf16 *dOut, Sum (&scores)[bands][tiles]) {
#pragma unroll
  for (int j = 0; j < tiles; j++)
    for (int i = 0; i < 2; i++) {
      const float dot = numberOfRow<D>(dOut, columnOfSum(j, i));
#pragma unroll
      for (int band = 0; band < bands; band++)
        for (int at = i; at < 4; at += 2) {
          float &score = scores[band][j].values[at];
          score = score == 0.0f ? 0.0f : score * (products[band][j].values[at] - dot);
        }
    }
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
  QueryWalk<D> step(s, key);
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
    const bool isSeen = firstRowOfWarp<bands>() <= ahead + rows - 1;
    arrive<0>();
    askForStep<D>(dy, statistics.dots, step, s, dOut);
    commitCopies();
    step.next(s, key);
    if (step.left > 0) askForStep<D>(q, statistics.logSums, step, s, queries + (place ^ 1) * rows * (D + 8));
    commitCopies();
    Sum scores[bands][tiles], products[bands][tiles];
    if (isSeen) {
      rowsByRows<D>(keys, now, scores);
      toProbabilities<D>(s.scale * log2OfE, ahead, now, scores);
    }
    arrive<1>();
    if (!isSeen) continue;
    addWeightedRows<D>(scores, dOut, valueSums);
    rowsByRows<D>(values, dOut, products);
    timesDifferences<D>(products, dOut, scores);
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
