/**
 * Causal attention by tensor cores with online softmax: a block takes 128 queries of one head through the keys that they
 * see, 64 at a time (32 of wide heads). Values arrive while scores are made, the next keys while values are added. Of scores only
 * the log of each query's sum of exponentials is stored.
 */
#include "flash.h"

namespace vwn {
namespace cuda {
namespace {

/** Scores → their exponentials as OnlineSoftmax has them; sums of before are shrunk accordingly. */
template <int D, int bands, int tiles>
VWN_DEVICE void takeScores(OnlineSoftmax (&softmax)[bands], float exponentScale, Sum (&scores)[bands][tiles],
                           Sum (&sums)[bands][D / 8]) {
#pragma unroll
  for (int band = 0; band < bands; band++) {
    float shrink[2];
    softmax[band].take(scores[band], exponentScale, shrink);
#pragma unroll
    for (int j = 0; j < D / 8; j++)
      for (int i = 0; i < 4; i++) sums[band][j].values[i] *= shrink[i / 2];
  }
}

/** y, and the log of every query's sum of exponentials, logSums [B·H, T]. */
template <int D, int bands>
VWN_DEVICE void writeQueries(const FlashQueries<bands> &tile, const OnlineSoftmax (&softmax)[bands],
                             const Sum (&sums)[bands][D / 8], bf16 *y, float *logSums, const AttentionSizes &s) {
  float factors[bands][2];
#pragma unroll
  for (int band = 0; band < bands; band++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const float total = softmax[band].total[half];
      const int query = tile.first + rowOfSum<bands>(band, half);
      factors[band][half] = 1.0f / total;
      if (query < s.T && laneOfWarp() % 4 == 0)
        logSums[tile.head * s.T + query] = softmax[band].most[half] * s.scale + logf(total);
    }
  writeRows<D>(sums, factors, headOfQueries(y, s, tile.head), tile.first, s.T, s.d);
}

/** Shared: tiles of queries, keys and values. */
template <int D>
VWN_DEVICE void flash(const bf16 *q, const bf16 *k, const bf16 *v, bf16 *y, float *logSums, const AttentionSizes &s) {
  using Tiles = FlashTiles<D>;
  constexpr int bands = Tiles::queryBands, rows = Tiles::queryRows, keyRows = Tiles::keysOfStep;
  VWN_SHARED(bf16, queries);
  bf16 *keys = queries + rows * (D + 8), *values = keys + keyRows * (D + 8);
  const FlashQueries<bands> tile(s);
  askFor<D, rows>(headOfQueries(q, s, tile.head), tile.first, s.T, s.d, queries);
  askFor<D, keyRows>(tile.keyHead(k, s), 0, s.S, s.d, keys);
  commitCopies();
  Sum sums[bands][D / 8] = {};
  OnlineSoftmax softmax[bands];
  for (int key = 0; key < tile.end; key += keyRows) {
    Sum scores[bands][keyRows / 8];
    const bool sees = warpSees<bands>(tile.ahead(s, key));
    arrive<0>();
    askFor<D, keyRows>(tile.keyHead(v, s), key, s.S, s.d, values);
    commitCopies();
    if (sees) {
      rowsByRows<D>(queries, keys, scores);
      hideUnseen(tile.ahead(s, key), scores);
      takeScores<D>(softmax, s.scale * log2OfE, scores, sums);
    }
    arrive<0>();
    if (key + keyRows < tile.end) askFor<D, keyRows>(tile.keyHead(k, s), key + keyRows, s.S, s.d, keys);
    commitCopies();
    if (sees) addWeightedRows<D>(scores, values, sums);
  }
  writeQueries<D>(tile, softmax, sums, y, logSums, s);
}
VWN_FLASH(flash, (const bf16 *q, const bf16 *k, const bf16 *v, bf16 *y, float *logSums, AttentionSizes sizes),
          (q, k, v, y, logSums, sizes))

}  // namespace
}  // namespace cuda
}  // namespace vwn
