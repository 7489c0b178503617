/**
 * What all kernels of Generalized Hyper-Connections are made of (vwn.md §3). Tokens are taken in blocks; a lane of a
 * vector is one slot of one token, so that norm, coefficients and their gradients need no horizontal sums:
 *   state   [slots of the block, wide]  rows as in memory, float32, db padded to whole vectors
 *   stateT  [db, ld]                    its transpose: lanes are slots
 *   alpha   [columns, ld]               coefficient c of slot i of token t at [c·ld + t·n + i]
 * Three products, each token by token, cover forward and backward: gather, spread and alphaGradient.
 */
#pragma once
#include <vector>

#include "../workspace.h"
#include "call.h"
#include "pairs.h"
#include "rows.h"
#include "tile.h"
#include "transpose.h"

namespace vwn {
namespace VWN_ISA {

VWN_INLINE int64_t wholeVectors(int64_t size) { return (size + W - 1) / W * W; }

/** Slots that one block should have: enough lanes for wide tiles, few enough for the cache. */
constexpr int64_t slotsOfBlock = 4 * W;

struct Shape {
  int64_t m, n, db, tokens; /* tokens of the whole call */
  float eps;
  int64_t wide;  /* db in whole vectors */
  int64_t block; /* tokens of a block */
  int64_t ld;    /* floats between rows of alpha and of a transposed state */

  Shape(int64_t m_, int64_t n_, int64_t db_, int64_t tokens_, float eps_)
      : m(m_), n(n_), db(db_), tokens(tokens_), eps(eps_), wide(wholeVectors(db_)),
        block(n_ >= slotsOfBlock || n_ < 1 ? 1 : slotsOfBlock / n_),
        // With a ragged n a product of one token writes into the next one's lanes, and beyond the last.
        ld(wholeVectors(block * n_) + (n_ % W ? W : 0)) {}

  const char *problem() const {
    if (m < 1 || n < 1 || db < 1) return "connection: m, n and db must be 1 or more";
    // Parameters are small; these limits keep every size in range.
    return m > 4096 || n > 65536 || db > 1048576 ? "connection: m, n or db is too large" : nullptr;
  }
  int64_t blocks() const { return (tokens + block - 1) / block; }
  int64_t stateSize() const { return Call::product({tokens, n, db}); }
  int64_t backboneSize() const { return Call::product({tokens, m, db}); }
};

/** The tokens of one block. */
struct Span {
  int64_t first, count, slots, lanes;
  Span(const Shape &s, int64_t index)
      : first(index * s.block), count(s.tokens - first < s.block ? s.tokens - first : s.block), slots(count * s.n),
        lanes(wholeVectors(slots)) {}
};

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

/** A state of one block in all its forms. */
struct State {
  const float *rows; /* [slots, wide] */
  float *transposed; /* [db, ld] */
  float *reciprocal; /* [ld]: 1/rms of each slot */
};

template <class T>
VWN_APART void loadRows(const T *from, int64_t rows, const Shape &s, float *to) {
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < s.wide; j += W)
      store(to + i * s.wide + j, s.db - j >= W ? load(from + i * s.db + j) : loadFirst(from + i * s.db + j, s.db - j));
}

template <class T>
VWN_APART void storeRows(const float *from, int64_t rows, const Shape &s, T *to) {
  for (int64_t i = 0; i < rows; i++)
    eachVector(
        s.db, [&](int64_t j) { store(to + i * s.db + j, load(from + i * s.wide + j)); },
        [&](int64_t j, int64_t n) { storeFirst(to + i * s.db + j, loadFirst(from + i * s.wide + j, n), n); });
}

/** Rows of a block as float32 of `wide`: where they lie if they are that already, else loaded into `room`. */
template <class T>
VWN_INLINE const float *rowsAt(const T *from, int64_t rows, const Shape &s, float *room) {
  if constexpr (std::is_same_v<T, float>)
    if (s.db == s.wide) return from;
  loadRows(from, rows, s, room);
  return room;
}

/** Where to write rows of `wide` that are to become those at `to`: there if they can be, else in `room`. */
template <class T>
VWN_INLINE float *placeOf(T *to, const Shape &s, float *room) {
  if constexpr (std::is_same_v<T, float>)
    if (s.db == s.wide) return to;
  return room;
}
template <class T>
VWN_INLINE void finishRows(const float *written, int64_t rows, const Shape &s, T *to) {
  if (static_cast<const void *>(written) != static_cast<const void *>(to)) storeRows(written, rows, s, to);
}

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

/** The transpose and the norm of a state whose rows are there. */
VWN_APART void normalize(const Shape &s, const Span &span, const State &state) {
  transposePadded(span.slots, s.db, state.rows, s.wide, state.transposed, s.ld);
  for (int64_t lane = 0; lane < span.lanes; lane += W) {
    const vf squares = sumOver(s.db, [&](int64_t d) {
      const vf x = load(state.transposed + d * s.ld + lane);
      return x * x;
    });
    store(state.reciprocal + lane, 1.0f / vsqrt(squares / static_cast<float>(s.db) + s.eps));
  }
}

/** From products with W and 1/rms to alpha, by `tanh`; keeps its values where `activation` is given. */
template <vf (*tanh)(vf)>
VWN_APART void activate(const Shape &s, const Span &span, const CoefficientSet &set, const State &state, float *activation,
                        float *alpha) {
  for (int64_t c = 0; c < set.columns; c++)
    for (int64_t lane = 0; lane < span.lanes; lane += W) {
      const int64_t at = c * s.ld + lane;
      const vf t = tanh(load(alpha + at) * load(state.reciprocal + lane));
      if (activation) store(activation + at, t);
      store(alpha + at, t * load(set.scales + at) + load(set.offsets + at));
    }
}

/** Eqs. 11–14 for all lanes: alpha = S ∘ tanh(norm(h)·W/τ) + static; keeps tanh(·) where `activation` is given. */
VWN_INLINE void evaluate(const Shape &s, const Span &span, const CoefficientSet &set, const State &state, float *activation,
                         float *alpha) {
  if (!set.dynamic) {
    std::memcpy(alpha, set.offsets, static_cast<size_t>(set.columns * s.ld) * 4);
    return;
  }
  smallProduct<Into::fresh>(set.columns, span.lanes, s.db, set.weights, s.wide, 1, state.transposed, s.ld, alpha, s.ld);
  activate<vtanh>(s, span, set, state, activation, alpha);
}

/** out[c] = Σ_i alpha[c, i]·state[i] for `columns` rows of alpha: [columns, wide] for each token. */
template <Into into>
VWN_INLINE void gather(const Shape &s, const Span &span, const float *alpha, int64_t columns, const float *rows, float *out) {
  for (int64_t t = 0; t < span.count; t++)
    smallProduct<into>(columns, s.wide, s.n, alpha + t * s.n, s.ld, 1, rows + t * s.n * s.wide, s.wide,
                       out + t * columns * s.wide, s.wide);
}

/** state[i] = or += Σ_c alpha[c, i]·from[c]. */
template <Into into>
VWN_INLINE void spread(const Shape &s, const Span &span, const float *alpha, int64_t columns, const float *from, float *rows) {
  for (int64_t t = 0; t < span.count; t++)
    smallProduct<into>(s.n, s.wide, columns, alpha + t * s.n, 1, s.ld, from + t * columns * s.wide, s.wide,
                       rows + t * s.n * s.wide, s.wide);
}

/** dots of every a[c] with every state[i] of one token, for few slots: W sums at a time, turned by a transpose. */
VWN_INLINE void smallDots(const Shape &s, const float *a, int64_t columns, const float *rows, float *alpha) {
  vf sums[W];
  int64_t filled = 0, start = 0;
  const auto flush = [&] {
    for (int64_t k = filled; k < W; k++) sums[k] = vf{};
    transposeBlock(sums);
    vf total = sums[0];
#pragma GCC unroll 16
    for (int k = 1; k < W; k++) total += sums[k];
    float values[W];
    store(values, total);
    for (int64_t k = 0; k < filled; k++) alpha[(start + k) / s.n * s.ld + (start + k) % s.n] = values[k];
    start += filled;
    filled = 0;
  };
  for (int64_t c = 0; c < columns; c++)
    for (int64_t i = 0; i < s.n; i++) {
      vf sum = load(a + c * s.wide) * load(rows + i * s.wide);
      for (int64_t d = W; d < s.wide; d += W) sum += load(a + c * s.wide + d) * load(rows + i * s.wide + d);
      sums[filled++] = sum;
      if (filled == W) flush();
    }
  if (filled) flush();
}

/** Gradient of alpha in gather and spread: alpha[c, i] = a[c]·state[i]. Lanes behind the last slot are 0. */
VWN_INLINE void alphaGradient(const Shape &s, const Span &span, const float *a, int64_t columns, const float *rows,
                              const float *transposed, float *alpha) {
  for (int64_t t = 0; t < span.count; t++) {
    const float *from = a + t * columns * s.wide;
    if (s.n < W) smallDots(s, from, columns, rows + t * s.n * s.wide, alpha + t * s.n);
    else
      smallProduct<Into::fresh>(columns, wholeVectors(s.n), s.db, from, s.wide, 1, transposed + t * s.n, s.ld,
                                alpha + t * s.n, s.ld);
  }
  for (int64_t c = 0; span.slots < span.lanes && c < columns; c++)
    for (int64_t lane = span.slots; lane < span.lanes; lane++) alpha[c * s.ld + lane] = 0.0f;
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
 * Sums for the static part and the scale of coefficients, from the gradient of alpha, which becomes that of the product
 * before the tanh, times 1/rms.
 */
VWN_APART void activateGradient(const Shape &s, const Span &span, const CoefficientSet &set, const State &state,
                                const float *activation, float *dAlpha, const CoefficientSums &sums) {
  for (int64_t c = 0; c < set.columns; c++)
    for (int64_t lane = 0; lane < span.lanes; lane += W) {
      const int64_t at = c * s.ld + lane;
      const vf up = load(dAlpha + at);
      store(sums.offset + at, load(sums.offset + at) + up);
      if (!set.dynamic) continue;
      const vf t = load(activation + at);
      store(sums.scale + at, load(sums.scale + at) + up * t);
      store(dAlpha + at, up * load(set.scales + at) * (1.0f - t * t) * load(state.reciprocal + lane));
    }
}

/**
 * Through the norm, all lanes: from g, the gradient of the norm's input before the norm's own term, to
 * dh = g − h·mean(g·h)/rms², in place in `room` [db, ld], and added to `dRows` [slots, wide]. stateOf(d, lane) is h.
 */
template <class StateOf>
VWN_INLINE void normGradient(const Shape &s, const Span &span, const State &state, float *room, float *dRows, const StateOf &stateOf) {
  for (int64_t lane = 0; lane < span.lanes; lane += W) {
    const vf dot = sumOver(s.db, [&](int64_t d) { return load(room + d * s.ld + lane) * stateOf(d, lane); });
    const vf r = load(state.reciprocal + lane), shift = dot * r * r / static_cast<float>(s.db);
    for (int64_t d = 0; d < s.db; d++) {
      float *at = room + d * s.ld + lane;
      store(at, load(at) - stateOf(d, lane) * shift);
    }
  }
  addTransposed(span.slots, s.db, room, s.ld, dRows, s.wide);
}

/** From the gradient of alpha to sums for the parameters and, through the norm, to the state. `room` is [db, ld]. */
VWN_APART void evaluateGradient(const Shape &s, const Span &span, const CoefficientSet &set, const State &state,
                                 const float *activation, float *dAlpha, const CoefficientSums &sums, float *room, float *dRows) {
  activateGradient(s, span, set, state, activation, dAlpha, sums);
  if (!set.dynamic) return;
  smallProduct<Into::sum>(set.columns, s.wide, span.slots, dAlpha, s.ld, 1, state.rows, s.wide, sums.weights, s.wide);
  smallProduct<Into::fresh>(s.db, span.lanes, set.columns, set.weights, 1, s.wide, dAlpha, s.ld, room, s.ld);
  normGradient(s, span, state, room, dRows, [&](int64_t d, int64_t lane) { return load(state.transposed + d * s.ld + lane); });
}

/** Where the gradients of a group of columns go: matrices with `stride` columns, zeros in columns of no group. */
struct ColumnGradients {
  float *offset, *scale, *fn;
  int64_t stride, from, count;
};

/** Sums of all threads (`parts` of them, `stride` floats apart) → gradients of the parameters. */
inline void writeGradients(const Shape &s, const CoefficientSet &set, const float *normWeight, const std::vector<Columns> &from,
                           const CoefficientSums &sums, int64_t parts, int64_t stride,
                           const std::vector<ColumnGradients> &to, float *dNorm) {
  const auto total = [&](const float *first, int64_t at) {
    float sum = 0;
    for (int64_t part = 0; part < parts; part++) sum += first[part * stride + at];
    return sum;
  };
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

/** Hands out parts of one block of memory. */
class Memory {
 public:
  explicit Memory(float *base) : at_(base) {}
  float *take(int64_t floats) {
    float *here = at_;
    at_ += wholeVectors(floats);
    return here;
  }
  float *rows(const Shape &s, int64_t slots) { return take(s.block * slots * s.wide); }
  State state(const Shape &s, const float *rows) { return {rows, take(s.db * s.ld + W), take(s.ld)}; }
  static int64_t stateRoom(const Shape &s) { return s.block * s.n * s.wide + s.db * s.ld + s.ld + 4 * W; }

 private:
  float *at_;
};

}  // namespace VWN_ISA
}  // namespace vwn
