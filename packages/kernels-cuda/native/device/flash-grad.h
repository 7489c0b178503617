/**
 * What the gradients of causal attention by tensor cores share, whichever instructions make their products: p is exp(score·scale −
 * logSum), dP = dy·v, and a score's gradient p·(dP − dot).
 */
#pragma once
#include "flash.h"

namespace vwn {
namespace cuda {

/** Steps of a block of keys past the queries that see them, heads of its group one after the other. */
template <int rowsOfStep>
struct QueryWalk {
  static constexpr int rows = rowsOfStep;
  int head, query, left; /* of all sequences' heads; the first of this step's rows; steps, this one among them */
  int64_t place;         /* where that row is in q */

  /** Of a key head, which counts those of all sequences. */
  VWN_DEVICE QueryWalk(const AttentionSizes &s, int keyHead, int key) : query(firstQuery(s, key)) {
    const int group = static_cast<int>(s.H / s.K), queries = static_cast<int>(s.T) - query;
    head = keyHead * group;
    left = queries > 0 ? (queries + rows - 1) / rows * group : 0;
    find(s);
  }
  VWN_DEVICE static int firstQuery(const AttentionSizes &s, int key) {
    const int past = static_cast<int>(s.S - s.T);
    return (key > past ? key - past : 0) / rows * rows;
  }
  VWN_DEVICE void next(const AttentionSizes &s, int key) {
    left--;
    query += rows;
    place += rows * s.H * s.d;
    if (query < s.T) return;
    query = firstQuery(s, key);
    head++;
    find(s);
  }

 private:
  VWN_DEVICE void find(const AttentionSizes &s) {
    const int H = static_cast<int>(s.H);
    place = ((head / H * s.T + query) * s.H + head % H) * s.d;
  }
};

/** body(j, i, its number) for the columns, queries, of sums that a thread has. */
template <int tiles, class Numbers, class Body>
VWN_DEVICE void eachQuery(const Numbers &numberOf, const Body &body) {
#pragma unroll
  for (int j = 0; j < tiles; j++)
    for (int i = 0; i < 2; i++) body(j, i, numberOf(columnOfSum(j, i)));
}

/**
 * p of keys (rows) and queries (columns) from their scores; 0 where a query does not see a key: `hides` is whether there is one, which
 * most warps are spared to look for. Beyond the last query p is 1, but what it multiplies is 0.
 */
template <bool hides, int bands, int tiles, class LogSums>
VWN_DEVICE void toProbabilities(float exponentScale, int ahead, const LogSums &logSumOf, Sum (&scores)[bands][tiles]) {
  eachQuery<tiles>(logSumOf, [&](int j, int i, float logSum) {
#pragma unroll
    for (int band = 0; band < bands; band++)
      for (int half = 0; half < 2; half++) {
        float &score = scores[band][j].values[2 * half + i];
        const bool sees = !hides || rowOfSum<bands>(band, half) <= ahead + columnOfSum(j, i);
        score = sees ? powerOf2(score * exponentScale - logSum * log2OfE) : 0.0f;
      }
  });
}

}  // namespace cuda
}  // namespace vwn
