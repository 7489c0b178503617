/**
 * The connection step of bf16 tensors by products of pairs (pairs.h), where n and db are even. As connection-step.cc
 * does it in float32, with operands in these forms:
 *   between     [slots/2, wide]  a state two slots by two: pairs run along slots
 *   transposed  [db/2, ld]       a state's transpose, pairs along db; lanes are slots
 *   halves      bf16 in the order of the float32 matrix: pairs along a row
 *   words       [rows/2, …]      a matrix two rows by two: pairs along columns
 * Coefficients, norms, tanh and all sums are float32; operands of products are rounded.
 */
#pragma once
#include "connection-coefficients.h"

namespace vwn {
namespace VWN_ISA {

constexpr Element pair = Element::pair;

/** Whether tensors of T with such a shape are computed in pairs here. With few slots float32 is as fast. */
template <class T>
VWN_INLINE bool usesPairs(const Shape &s) {
  return inPairs<T> && s.n % 2 == 0 && s.db % 2 == 0 && s.n >= 8;
}

VWN_INLINE int64_t wordsOf(int64_t rows) { return (rows + 1) / 2; }

/** `rows` is not used here. */
struct PairState : State {
  float *between;
};

struct PairMemory : Memory {
  using Memory::Memory;
  explicit PairMemory(const Memory &rest) : Memory(rest) {}
  PairState state(const Shape &s) {
    return {{nullptr, take(s.db / 2 * s.ld + W), take(s.ld)}, take(s.block * s.n / 2 * s.wide)};
  }
  bf16 *halves(int64_t count) { return asHalves(take(wordsOf(count))); }
};

/** All forms of a state [slots, db] in memory, and its norm. */
VWN_APART void loadState(const Shape &s, const Span &span, const bf16 *from, const PairState &state) {
  interleaveRows(from, s.db, span.slots, s.db, state.between, s.wide);
  transposePadded(span.slots, s.db / 2, asPairs(from), s.db / 2, state.transposed, s.ld);
  for (int64_t lane = 0; lane < span.lanes; lane += W) {
    vf squares[2] = {};
    for (int64_t k = 0; k < s.db / 2; k++) {
      const vf x = load(state.transposed + k * s.ld + lane);
      squares[k & 1] = dotPairs(squares[k & 1], x, x);
    }
    store(state.reciprocal + lane, 1.0f / vsqrt((squares[0] + squares[1]) / static_cast<float>(s.db) + s.eps));
  }
}

/** As evaluate() of connection-coefficients.h. */
VWN_INLINE void evaluatePairs(const Shape &s, const Span &span, const CoefficientSet &set, const State &state, const Evaluated &of) {
  if (!set.dynamic) {
    std::memcpy(of.alpha, set.offsets, static_cast<size_t>(set.columns * s.ld) * 4);
    return;
  }
  smallProduct<Into::fresh, pair>(set.columns, span.lanes, s.db / 2, asPairs(set.halves), s.wide / 2, 1, state.transposed, s.ld,
                                  of.alpha, s.ld);
  activate<vtanhShort>(s, span, set, state, of);
}

/** As gathering() and spreading() of connection.h: alpha in halves there, in words here, and from two rows by two. */
VWN_INLINE Factors<pair> gatheringPairs(const Shape &s, int64_t token, const bf16 *alpha, const float *between) {
  return {s.n / 2, asPairs(alpha + token * s.n), s.ld / 2, 1, between + token * s.n / 2 * s.wide, s.wide};
}
VWN_INLINE Factors<pair> spreadingPairs(const Shape &s, int64_t token, const float *alpha, int64_t columns, const float *from) {
  return {wordsOf(columns), alpha + token * s.n, 1, s.ld, from, s.wide};
}

/** Rows of a token's state that is there two by two. */
struct RowsBetween {
  const float *between;
  int64_t stride;
  inline __attribute__((always_inline)) vf operator()(int64_t i, int64_t j) const {
    return halfOf(load(between + i / 2 * stride + j), i & 1);
  }
};

/** alpha[c, i] = a[c]·state[i] of each token; rows of a are `stride` numbers apart. Lanes behind the last slot are 0. */
VWN_INLINE void alphaGradientPairs(const Shape &s, const Span &span, const bf16 *a, int64_t stride, int64_t columns,
                                   const float *transposed, float *alpha) {
  for (int64_t t = 0; t < span.count; t++)
    smallProduct<Into::fresh, pair>(columns, wholeVectors(s.n), s.db / 2, asPairs(a + t * columns * stride), stride / 2, 1,
                                    transposed + t * s.n, s.ld, alpha + t * s.n, s.ld);
  for (int64_t c = 0; span.slots < span.lanes && c < columns; c++)
    for (int64_t lane = span.slots; lane < span.lanes; lane++) alpha[c * s.ld + lane] = 0.0f;
}

VWN_INLINE RowsBetween betweenOf(const Shape &s, int64_t token, const PairState &state) {
  return {state.between + token * s.n / 2 * s.wide, s.wide};
}

/** As evaluateGradient() of connection-coefficients.h; the gradient of alpha comes back in words too. */
VWN_APART float *evaluateGradientPairs(const Shape &s, const Span &span, const CoefficientSet &set, const PairState &state,
                                       const Evaluated &of, float *dAlpha, const CoefficientSums &sums, PairMemory &memory, float *shift) {
  activateGradient(s, span, set, state, of, dAlpha, sums, shift);
  if (!set.dynamic) return nullptr;
  bf16 *halves = memory.halves(set.columns * s.ld);
  float *words = memory.take(wordsOf(set.columns) * s.ld);
  narrowRows(dAlpha, set.columns, span.lanes, s.ld, halves);
  interleaveRows(dAlpha, s.ld, set.columns, span.lanes, words, s.ld);
  smallProduct<Into::sum, pair>(set.columns, s.wide, span.slots / 2, asPairs(halves), s.ld / 2, 1, state.between, s.wide, sums.weights,
                                s.wide);
  return words;
}

/** Rows [count·m, db] of the backbone, `stride` numbers apart, two by two within a token. */
VWN_INLINE void loadBackbone(const Shape &s, const Span &span, const bf16 *from, int64_t stride, float *to) {
  for (int64_t t = 0; t < span.count; t++)
    interleaveRows(from + t * s.m * stride, stride, s.m, s.db, to + t * wordsOf(s.m) * s.wide, s.wide);
}

VWN_INLINE int64_t pairRoom(const Shape &s) {
  const int64_t coefficients = (s.n + s.m + 1) * s.ld, states = s.block * (s.n + s.m + 1) * s.wide;
  return 10 * coefficients + 8 * states + 3 * s.db * s.ld + 4 * s.ld + 64 * W;
}

}  // namespace VWN_ISA
}  // namespace vwn
