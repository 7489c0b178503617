/**
 * Attention of bf16 tensors by products of pairs, for an even size of heads: operands stay as they lie in memory where
 * pairs run along the head, and are interleaved two rows by two where they run along keys or queries. Scores, softmax
 * and all sums are float32; probabilities and their gradients are rounded for the products that take them.
 */
#pragma once
#include "attention.h"

namespace vwn {
namespace VWN_ISA {

constexpr Element pair = Element::pair;

/** Whether tensors of T with such heads are computed in pairs here. */
template <class T>
VWN_INLINE bool usesPairs(const Sizes &s) {
  return inPairs<T> && s.d % 2 == 0;
}

/** [d/2, keys]: words of a key or value, transposed; 0 behind the last of them. */
VWN_INLINE void transposePairs(const Sizes &s, const bf16 *from, float *to) {
  transposePadded(s.S, s.d / 2, asPairs(from), s.K * s.d / 2, to, s.keys);
  for (int64_t j = roundUp(s.S); j < s.keys; j += W)
    for (int64_t k = 0; k < s.d / 2; k++) store(to + k * s.keys + j, vf{});
}

/** Keys or values two by two, [keys/2, wide], 0 behind the last of them. */
VWN_INLINE void interleaveKeys(const Sizes &s, const bf16 *from, float *to) {
  const int64_t words = (s.S + 1) / 2;
  interleaveRows(from, s.K * s.d, s.S, s.d, to, s.wide);
  std::memset(to + words * s.wide, 0, static_cast<size_t>((s.keys / 2 - words) * s.wide) * 4);
}

/** Words of the keys that a block sees: whole tiles for AMX. */
VWN_INLINE int64_t wordsOfKeys(const Sizes &s, int64_t seen) {
  return s.byAmx ? s.wholeKeys(seen) / 2 : (seen + 1) / 2;
}

VWN_INLINE void loadPairsForward(const Tensors<bf16> &x, const Sizes &s, int64_t at, const Head &to) {
  transposePairs(s, x.k + at, to.keysT);
  interleaveKeys(s, x.v + at, to.rows);
}

VWN_INLINE void loadPairsBackward(const Tensors<bf16> &x, const Sizes &s, int64_t at, const Head &to) {
  transposePairs(s, x.k + at, to.keysT);
  transposePairs(s, x.v + at, to.valuesT);
  interleaveKeys(s, x.k + at, to.rows);
}

/** Scores of `rows` queries: [rows, keys]. */
VWN_INLINE void pairScores(const Sizes &s, const bf16 *queries, int64_t rows, int64_t width, const float *keysT, float *to) {
  smallProduct<Into::fresh, pair>(rows, width, s.d / 2, asPairs(queries), s.H * s.d / 2, 1, keysT, s.keys, to, s.keys);
}

VWN_INLINE void forwardBlockOfPairs(const Tensors<bf16> &x, const Sizes &s, int64_t at, int64_t first, int64_t rows,
                                    const Head &head, float *room, bf16 *y, float *logSums) {
  const int64_t past = s.S - s.T, seen = past + first + rows, width = s.wholeKeys(seen);
  float *scores = room, *out = scores + s.forwardRows * s.keys;
  pairScores(s, x.q + at, rows, width, head.keysT, scores);
  float inverse[mostForwardRows];
  for (int64_t i = 0; i < rows; i++) {
    float *row = scores + i * s.keys;
    inverse[i] = softmaxRow(row, asHalves(row), past + first + i + 1, width, s.scale, logSums + i);
  }
  smallProduct<Into::fresh, pair>(rows, s.wide, wordsOfKeys(s, seen), scores, s.keys, 1, head.rows, s.wide, out, s.wide);
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < s.wide; j += W) store(out + i * s.wide + j, load(out + i * s.wide + j) * inverse[i]);
  writeRows(out, s.wide, rows, s.d, y + at, s.H * s.d);
}

VWN_INLINE void backwardBlockOfPairs(const BackwardTensors<bf16> &x, const Sizes &s, int64_t at, int64_t first, int64_t rows,
                                     const QueryStatistics *of, const Head &head, const Room &r, bf16 *dq) {
  const int64_t past = s.S - s.T, seen = past + first + rows, width = s.wholeKeys(seen), stride = s.H * s.d;
  interleaveRows(x.q + at, stride, rows, s.d, r.queries, s.wide);
  interleaveRows(x.dy + at, stride, rows, s.d, r.dOut, s.wide);
  pairScores(s, x.q + at, rows, width, head.keysT, r.p);
  pairScores(s, x.dy + at, rows, width, head.valuesT, r.dP);
  bf16 *halves = asHalves(r.halves);
  for (int64_t i = 0, row = 0; i < rows; i++, row += s.keys)
    scoresGradient(r.p + row, r.dP + row, halves + row, past + first + i + 1, width, s.scale, of[i]);
  // Into the first row of each two, whose float32 numbers are of no use any more.
  for (int64_t i = 0; i < rows; i += 2)
    for (float *row : {r.p + i * s.keys, r.dP + i * s.keys}) interleaveRow(row, i + 1 < rows ? row + s.keys : nullptr, width, row);
  const int64_t pairs = (rows + 1) / 2;
  smallProduct<Into::sum, pair>(seen, s.wide, pairs, r.p, 1, 2 * s.keys, r.dOut, s.wide, r.dValues, s.wide);
  smallProduct<Into::sum, pair>(seen, s.wide, pairs, r.dP, 1, 2 * s.keys, r.queries, s.wide, r.dKeys, s.wide);
  smallProduct<Into::fresh, pair>(rows, s.wide, wordsOfKeys(s, seen), asPairs(halves), s.keys / 2, 1, head.rows, s.wide, r.dQuery, s.wide);
  writeRows(r.dQuery, s.wide, rows, s.d, dq + at, stride);
}

}  // namespace VWN_ISA
}  // namespace vwn
