/**
 * Coefficients of a connection, alpha and beta, from the state: a lane of a vector is one slot of one token, so that
 * tanh, norm and their gradients are the same work for all lanes.
 */
#pragma once
#include <vector>

#include "connection.h"

namespace vwn {
namespace VWN_ISA {

/** Where a group of coefficient columns comes from: columns [from, from + count) of matrices with `stride` columns. */
struct Columns {
  const float *offset; /* static part [n, stride] */
  const float *scale;  /* S [n, stride]; nullptr: a static connection */
  const float *fn;     /* W [db, stride] */
  int64_t stride, from, count;
};

/** Coefficients that share a state and its norm, laid out for lanes; one for all threads. */
class CoefficientSet {
 public:
  /** Floats that {@link prepare} needs. */
  static int64_t room(const Shape &s, int64_t columns) { return columns * (2 * s.wide + 2 * s.ld) + s.wide; }

  void prepare(const Shape &s, const float *normWeight, const std::vector<Columns> &groups, float *memory) {
    columns = 0;
    for (const Columns &group : groups) columns += group.count;
    dynamic = groups[0].scale != nullptr;
    weights = memory;
    offsets = weights + columns * s.wide;
    scales = offsets + columns * s.ld;
    std::memset(memory, 0, static_cast<size_t>(room(s, columns)) * 4);
    const float root = 1.0f / std::sqrt(static_cast<float>(s.db));
    int64_t c = 0;
    for (const Columns &group : groups)
      for (int64_t column = group.from; column < group.from + group.count; column++, c++) {
        for (int64_t lane = 0; lane < s.block * s.n; lane++) {
          const int64_t at = lane % s.n * group.stride + column;
          offsets[c * s.ld + lane] = group.offset[at];
          if (dynamic) scales[c * s.ld + lane] = group.scale[at];
        }
        for (int64_t d = 0; dynamic && d < s.db; d++)
          weights[c * s.wide + d] = group.fn[d * group.stride + column] * normWeight[d] * root;
      }
    halves = asHalves(scales + columns * s.ld);
    words = scales + columns * s.ld + columns * s.wide / 2;
    narrowRows(weights, columns, s.wide, s.wide, halves);
    interleaveRows(weights, s.wide, columns, s.wide, words, s.wide);
  }

  int64_t columns = 0;
  bool dynamic = false;
  float *weights = nullptr; /* [columns, wide]: fn · norm weight / √db */
  float *offsets = nullptr, *scales = nullptr; /* [columns, ld] */
  /* weights for products of pairs: along db [columns, wide], and two columns by two [⌈columns/2⌉, wide] */
  bf16 *halves = nullptr;
  float *words = nullptr;
};

/** Σ over d of term(d), in four sums that do not wait for each other. */
template <class Term>
VWN_INLINE vf sumOver(int64_t db, const Term &term) {
  vf sums[4] = {};
  int64_t d = 0;
  for (; d + 4 <= db; d += 4)
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) sums[k] += term(d + k);
  for (; d < db; d++) sums[0] += term(d);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/** Coefficients of one block and what their gradients need, each [columns, ld]. */
struct Evaluated {
  float *alpha;
  float *products, *activation; /* W·h and tanh(·); nothing in a forward pass */

  static Evaluated in(Memory &memory, int64_t size) { return {memory.take(size), memory.take(size), memory.take(size)}; }
};

/** The transpose, where there is one, and the norm of a state whose rows are there. */
VWN_APART void normalize(const Shape &s, const Span &span, const State &state) {
  const auto keep = [&](int64_t lane, vf squares) {
    store(state.reciprocal + lane, 1.0f / vsqrt(squares / static_cast<float>(s.db) + s.eps));
  };
  if (s.narrow)
    return eachSlots(span, state.rows, s, [&](int64_t lane, const float *const *slots) {
      const auto slot = [&](int k) { return slots[k]; };
      keep(lane, dotsOfRows(s.wide, slot, slot));
    });
  transposePadded(span.slots, s.db, state.rows, s.wide, state.transposed, s.ld);
  for (int64_t lane = 0; lane < span.lanes; lane += W)
    keep(lane, sumOver(s.db, [&](int64_t d) {
           const vf x = load(state.transposed + d * s.ld + lane);
           return x * x;
         }));
}

/** From products with W, in of.alpha, and 1/rms to alpha. */
VWN_APART void activate(const Shape &s, const Span &span, const CoefficientSet &set, const State &state, Evaluated of) {
  // Copies: the compiler takes every store for one to what is read through a reference.
  const int64_t ld = s.ld, lanes = span.lanes, columns = set.columns;
  const float *offsets = set.offsets, *scales = set.scales, *reciprocals = state.reciprocal;
  for (int64_t c = 0; c < columns; c++)
    for (int64_t lane = 0; lane < lanes; lane += W) {
      const int64_t at = c * ld + lane;
      const vf product = load(of.alpha + at), t = vtanh(product * load(reciprocals + lane));
      if (of.products) {
        store(of.products + at, product);
        store(of.activation + at, t);
      }
      store(of.alpha + at, t * load(scales + at) + load(offsets + at));
    }
}

VWN_APART void productsOfRows(const Shape &s, const Span &span, const CoefficientSet &set, const State &state, float *products) {
  eachSlots(span, state.rows, s, [&](int64_t lane, const float *const *slots) {
    for (int64_t c = 0; c < set.columns; c++)
      store(products + c * s.ld + lane,
            dotsOfRows(s.wide, [&](int) { return set.weights + c * s.wide; }, [&](int k) { return slots[k]; }));
  });
}

/** Eqs. 11–14 for all lanes: alpha = S ∘ tanh(norm(h)·W/τ) + static. */
VWN_INLINE void evaluate(const Shape &s, const Span &span, const CoefficientSet &set, const State &state, const Evaluated &of) {
  if (!set.dynamic) {
    std::memcpy(of.alpha, set.offsets, static_cast<size_t>(set.columns * s.ld) * 4);
    return;
  }
  if (s.narrow) productsOfRows(s, span, set, state, of.alpha);
  else
    smallProduct<Into::fresh>(set.columns, span.lanes, s.db, set.weights, s.wide, 1, state.transposed, s.ld, of.alpha, s.ld);
  activate(s, span, set, state, of);
}

/** Sums over tokens that one thread makes for a set. */
struct CoefficientSums {
  float *offset, *scale; /* [columns, ld] */
  float *weights;        /* [columns, wide] */
  static int64_t room(const Shape &s, int64_t columns) { return columns * (s.wide + 2 * s.ld); }
  static CoefficientSums in(float *memory, const Shape &s, int64_t columns) {
    std::memset(memory, 0, static_cast<size_t>(room(s, columns)) * 4);
    return {memory, memory + columns * s.ld, memory + 2 * columns * s.ld};
  }
};

/**
 * Sums for the static part and the scale of coefficients, from the gradient of alpha, of `vectors` of lanes from `lane` on. The
 * gradient of the products with W goes to put(c, lane, of column c, of c + 1, whether there is one), of which c is even: dAlpha
 * may be written there. Through the norm, dh = g + shift·h, where g is dAlpha·W and shift = −mean(g·h)/rms²; and g·h is
 * dAlpha·(W·h).
 */
template <int vectors, class Put>
VWN_APART void activateGradientOfLanes(const Shape &s, int64_t lane, const CoefficientSet &set, const State &state,
                                       const float *products, const float *activation, const float *dAlpha, CoefficientSums sums,
                                       float *shift, Put put) {
  // Copies: the compiler takes every store for one to what is read through a reference.
  const int64_t ld = s.ld, columns = set.columns;
  const bool dynamic = set.dynamic;
  const float *scales = set.scales;
  vf r[vectors], dot[vectors] = {};
  for (int v = 0; v < vectors; v++) r[v] = load(state.reciprocal + lane + v * W);
  const auto throughAt = [&](int64_t at, int v) {
    const vf up = load(dAlpha + at);
    store(sums.offset + at, load(sums.offset + at) + up);
    if (!dynamic) return vf{};
    const vf t = load(activation + at), through = up * load(scales + at) * (1.0f - t * t) * r[v];
    store(sums.scale + at, load(sums.scale + at) + up * t);
    dot[v] += through * load(products + at);
    return through;
  };
  for (int64_t c = 0; c < columns; c += 2) {
    const bool hasSecond = c + 1 < columns;
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
      const int64_t at = c * ld + lane + v * W;
      const vf first = throughAt(at, v), second = hasSecond ? throughAt(at + ld, v) : vf{};
      if (dynamic) put(c, lane + v * W, first, second, hasSecond);
    }
  }
  for (int v = 0; dynamic && v < vectors; v++)
    store(shift + lane + v * W, dot[v] * r[v] * r[v] / static_cast<float>(-s.db));
}

/** The same of all lanes, four vectors at a time, so that rows are read as they lie. */
template <class... Rest>
VWN_INLINE void activateGradient(const Shape &s, const Span &span, const Rest &...rest) {
  int64_t lane = 0;
  for (; lane + 4 * W <= span.lanes; lane += 4 * W) activateGradientOfLanes<4>(s, lane, rest...);
  for (; lane < span.lanes; lane += W) activateGradientOfLanes<1>(s, lane, rest...);
}

/** From the gradient of alpha to sums for the parameters, and to what the state's gradient needs. */
VWN_APART void evaluateGradient(const Shape &s, const Span &span, const CoefficientSet &set, const State &state, const Evaluated &of,
                                float *dAlpha, const CoefficientSums &sums, float *shift) {
  activateGradient(s, span, set, state, of.products, of.activation, dAlpha, sums, shift,
                   [dAlpha, ld = s.ld](int64_t c, int64_t lane, vf first, vf second, bool hasSecond) {
                     store(dAlpha + c * ld + lane, first);
                     if (hasSecond) store(dAlpha + (c + 1) * ld + lane, second);
                   });
  if (set.dynamic)
    smallProduct<Into::sum>(set.columns, s.wide, span.slots, dAlpha, s.ld, 1, state.rows, s.wide, sums.weights, s.wide);
}

/** Where the gradients of a group of columns go: matrices with `stride` columns, zeros in columns of no group. */
struct ColumnGradients {
  float *offset, *scale, *fn;
  int64_t stride, from, count;
};

/** Element `at` of the sums of all threads: `parts` of them, `stride` floats apart. */
inline float totalOf(const float *first, int64_t at, int64_t parts, int64_t stride) {
  float sum = 0;
  for (int64_t part = 0; part < parts; part++) sum += first[part * stride + at];
  return sum;
}

/** Sums of all threads → gradients of the parameters. */
inline void writeGradients(const Shape &s, const CoefficientSet &set, const float *normWeight, const std::vector<Columns> &from,
                           const CoefficientSums &sums, int64_t parts, int64_t stride,
                           const std::vector<ColumnGradients> &to, float *dNorm) {
  const auto total = [&](const float *first, int64_t at) { return totalOf(first, at, parts, stride); };
  const float root = 1.0f / std::sqrt(static_cast<float>(s.db));
  if (set.dynamic) std::memset(dNorm, 0, static_cast<size_t>(s.db) * 4);
  int64_t c = 0;
  for (size_t g = 0; g < to.size(); g++)
    for (int64_t column = to[g].from; column < to[g].from + to[g].count; column++, c++) {
      for (int64_t i = 0; i < s.n; i++) {
        float offset = 0, scale = 0;
        for (int64_t lane = i; lane < s.block * s.n; lane += s.n) {
          offset += total(sums.offset, c * s.ld + lane);
          if (set.dynamic) scale += total(sums.scale, c * s.ld + lane);
        }
        to[g].offset[i * to[g].stride + column] = offset;
        if (set.dynamic) to[g].scale[i * to[g].stride + column] = scale;
      }
      for (int64_t d = 0; set.dynamic && d < s.db; d++) {
        const float folded = total(sums.weights, c * s.wide + d) * root;
        to[g].fn[d * to[g].stride + column] = folded * normWeight[d];
        dNorm[d] += folded * from[g].fn[d * from[g].stride + column];
      }
    }
}

}  // namespace VWN_ISA
}  // namespace vwn
