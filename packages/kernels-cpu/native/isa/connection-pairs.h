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

/** Whether tensors of T with such a shape are computed in pairs here. Of fewer slots the common shapes have passes of their own (connection-few.h), and the rest is computed in float32. */
template <class T>
VWN_INLINE bool usesPairs(const Shape &s) {
  return inPairs<T> && s.n % 2 == 0 && s.db % 2 == 0 && s.n >= 8;
}

VWN_INLINE int64_t wordsOf(int64_t rows) { return (rows + 1) / 2; }

/** Rows of a block as bf16 of `wide`: where they lie if db is that, else copied into `room`, 0 behind them. */
VWN_INLINE const bf16 *halvesAt(const bf16 *from, int64_t rows, const Shape &s, bf16 *room) {
  if (s.db == s.wide) return from;
  for (int64_t i = 0; i < rows; i++) {
    std::memcpy(room + i * s.wide, from + i * s.db, static_cast<size_t>(s.db) * 2);
    std::memset(room + i * s.wide + s.db, 0, static_cast<size_t>(s.wide - s.db) * 2);
  }
  return room;
}

/** Where to write rows of `wide` that are to become those at `to`, and how they do: as placeOf() and finishRows(). */
VWN_INLINE bf16 *placeOfHalves(bf16 *to, const Shape &s, bf16 *room) { return s.db == s.wide ? to : room; }
VWN_INLINE void finishHalves(const bf16 *written, int64_t rows, const Shape &s, bf16 *to) {
  for (int64_t i = 0; written != to && i < rows; i++)
    std::memcpy(to + i * s.db, written + i * s.wide, static_cast<size_t>(s.db) * 2);
}

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

/** Rows of coefficients or of their gradients in the forms that products take; null: not wanted. */
struct PairForms {
  bf16 *halves;
  float *words;

  /** Rows `c` and c + 1, of which c is even and the second may be behind the last. */
  inline __attribute__((always_inline)) void put(int64_t ld, int64_t c, int64_t lane, vf first, vf second, bool hasSecond) const {
    if (halves) {
      store(halves + c * ld + lane, first);
      if (hasSecond) store(halves + (c + 1) * ld + lane, second);
    }
    if (words) store(words + c / 2 * ld + lane, interleave(first, second));
  }
};

/** What multiplyPairs() and activatePairs() leave, [columns, ld]: W·h and, for the gradient, where it is not null, its tanh. */
struct PairProducts {
  float *products, *activation;
};

/** Products of all columns with a state; nothing where the connection is static. */
VWN_INLINE void multiplyPairs(const Shape &s, const Span &span, const CoefficientSet &set, const PairState &state, const PairProducts &of) {
  if (set.dynamic)
    smallProduct<Into::fresh, pair>(set.columns, span.lanes, s.db / 2, asPairs(set.halves), s.wide / 2, 1, state.transposed, s.ld,
                                    of.products, s.ld);
}

/** From products to the coefficients of columns [from, from + count), as evaluate() of connection-coefficients.h has them. */
VWN_APART void activatePairs(const Shape &s, const Span &span, const CoefficientSet &set, const PairState &state, const PairProducts &of,
                             int64_t from, int64_t count, PairForms forms) {
  // Copies: the compiler takes every store for one to what is read through a reference.
  const int64_t ld = s.ld, lanes = span.lanes;
  const bool dynamic = set.dynamic;
  const float *offsets = set.offsets, *scales = set.scales, *reciprocals = state.reciprocal, *products = of.products;
  float *activation = of.activation;
  const auto alphaAt = [=](int64_t at, vf reciprocal) {
    if (!dynamic) return load(offsets + at);
    const vf t = vtanhShort(load(products + at) * reciprocal);
    if (activation) store(activation + at, t);
    return t * load(scales + at) + load(offsets + at);
  };
  for (int64_t c = 0; c < count; c += 2)
    for (int64_t lane = 0; lane < lanes; lane += W) {
      const int64_t at = (from + c) * ld + lane;
      const vf reciprocal = load(reciprocals + lane), first = alphaAt(at, reciprocal);
      const bool hasSecond = c + 1 < count;
      forms.put(ld, c, lane, first, hasSecond ? alphaAt(at + ld, reciprocal) : vf{}, hasSecond);
    }
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

/** As evaluateGradient() of connection-coefficients.h. Returns the gradient of the products in words; null where static. */
VWN_INLINE float *evaluateGradientPairs(const Shape &s, const Span &span, const CoefficientSet &set, const PairState &state,
                                        const PairProducts &of, const float *dAlpha, const CoefficientSums &sums,
                                        PairMemory &memory, float *shift) {
  const PairForms through{memory.halves(set.columns * s.ld), memory.take(wordsOf(set.columns) * s.ld)};
  activateGradient(s, span, set, state, of.products, of.activation, dAlpha, sums, shift,
                   [through, ld = s.ld](int64_t c, int64_t lane, vf first, vf second, bool hasSecond) {
                     through.put(ld, c, lane, first, second, hasSecond);
                   });
  if (!set.dynamic) return nullptr;
  smallProduct<Into::sum, pair>(set.columns, s.wide, span.slots / 2, asPairs(through.halves), s.ld / 2, 1, state.between, s.wide,
                                sums.weights, s.wide);
  return through.words;
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
