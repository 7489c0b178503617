/**
 * What all kernels of Generalized Hyper-Connections are made of (vwn.md §3). Tokens are taken in blocks:
 *   state   [slots of the block, wide]  rows as in memory, float32, db padded to whole vectors
 *   stateT  [db, ld]                    its transpose: lanes are slots
 *   alpha   [columns, ld]               coefficient c of slot i of token t at [c·ld + t·n + i]
 * Each pass ends with one sum of products per token, made by gathering and spreading.
 */
#pragma once
#include "../workspace.h"
#include "call.h"
#include "pairs.h"
#include "rows.h"
#include "products.h"
#include "transpose.h"

namespace vwn {
namespace VWN_ISA {

VWN_INLINE int64_t wholeVectors(int64_t size) { return (size + W - 1) / W * W; }

struct Shape {
  int64_t m, n, db, tokens; /* tokens of the whole call */
  float eps;
  int64_t wide;  /* db in whole vectors */
  bool narrow;   /* few columns of long rows: dots of rows cost less than a transpose of the state */
  int64_t block; /* tokens of a block */
  int64_t ld;    /* floats between rows of alpha and of a transposed state */

  Shape(int64_t m_, int64_t n_, int64_t db_, int64_t tokens_, float eps_)
      : m(m_), n(n_), db(db_), tokens(tokens_), eps(eps_), wide(wholeVectors(db_)),
        narrow(n_ < W && (n_ + m_ + 1) * 12 < db_), block(n_ >= slotsOfBlock() || n_ < 1 ? 1 : slotsOfBlock() / n_),
        // With a ragged n a product of one token writes into the next one's lanes, and beyond the last.
        ld(wholeVectors(block * n_) + (n_ % W ? W : 0)) {}

  const char *problem() const {
    if (m < 1 || n < 1 || db < 1) return "connection: m, n and db must be 1 or more";
    // Parameters are small; these limits keep every size in range.
    return m > 4096 || n > 65536 || db > 1048576 ? "connection: m, n or db is too large: m may be 4096, n 65536 and db 1048576 at most" : nullptr;
  }
  /** Slots that one block should have: enough lanes for wide tiles, few enough for the cache. */
  int64_t slotsOfBlock() const { return isFew() ? 3 * W / 2 : narrow ? 2 * W : 4 * W; }
  /** Slots for which connection-few.h has passes: these keep no lanes of slots, and a smaller block stays in the first cache. */
  bool isFew() const { return narrow && ((m == 1 && (n == 2 || n == 4)) || (m == 2 && (n == 3 || n == 4))); }
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

/** A state of one block in all its forms. */
struct State {
  const float *rows; /* [slots, wide] */
  float *transposed; /* [db, ld]; nothing where the shape is narrow */
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

/** Makes what is behind db in rows of `wide` 0 again: an infinite coefficient has made NaN of it. */
VWN_INLINE void clearPadding(const Shape &s, int64_t rows, float *to) {
  for (int64_t i = 0; s.db < s.wide && i < rows; i++)
    std::memset(to + i * s.wide + s.db, 0, static_cast<size_t>(s.wide - s.db) * 4);
}

/** Of each token, coefficients [columns, ld] applied to its state: row c is Σ_i alpha[c, i]·state[i]. */
VWN_INLINE Factors<> gathering(const Shape &s, int64_t token, const float *alpha, const float *state) {
  return {s.n, alpha + token * s.n, s.ld, 1, state + token * s.n * s.wide, s.wide};
}

/** The other way: row i is Σ_c alpha[c, i]·from[c], `from` being [columns, wide] here. */
VWN_INLINE Factors<> spreading(const Shape &s, int64_t token, const float *alpha, int64_t columns, const float *from) {
  return {columns, alpha + token * s.n, 1, s.ld, from, s.wide};
}

/** W dots: lane k is left(k)·right(k), rows of `wide` numbers. */
template <class Left, class Right>
VWN_INLINE vf dotsOfRows(int64_t wide, const Left &left, const Right &right) {
  vf sums[W] = {};
  for (int64_t d = 0; d < wide; d += W)
#pragma GCC unroll 16
    for (int k = 0; k < W; k++) sums[k] += load(left(k) + d) * load(right(k) + d);
  return sumsOfRows(sums);
}

/** Dots of all slots, a vector of them at a time; lanes behind the last slot repeat it. */
template <class Each>
VWN_INLINE void eachSlots(const Span &span, const float *rows, const Shape &s, const Each &each) {
  for (int64_t lane = 0; lane < span.slots; lane += W) {
    const float *slots[W];
    for (int64_t k = 0; k < W; k++) slots[k] = rows + (lane + k < span.slots ? lane + k : span.slots - 1) * s.wide;
    each(lane, slots);
  }
}

/** With few slots: dots of every a[c] of a token with every state[i] of it. */
VWN_APART void alphaGradientOfRows(const Shape &s, const Span &span, const float *a, int64_t columns, const float *rows,
                                   float *alpha) {
  int64_t token = 0, slot = 0;
  eachSlots(span, rows, s, [&](int64_t lane, const float *const *slots) {
    const float *from[W];
    for (int64_t k = 0; k < W; k++) {
      from[k] = a + token * columns * s.wide;
      if (++slot == s.n && token + 1 < span.count) slot = 0, token++;
    }
    for (int64_t c = 0; c < columns; c++)
      store(alpha + c * s.ld + lane, dotsOfRows(s.wide, [&](int k) { return from[k] + c * s.wide; }, [&](int k) { return slots[k]; }));
  });
}

/** Gradient of alpha in gather and spread: alpha[c, i] = a[c]·state[i]. Lanes behind the last slot are 0. */
VWN_INLINE void alphaGradient(const Shape &s, const Span &span, const float *a, int64_t columns, const float *rows,
                              const float *transposed, float *alpha) {
  if (s.n < W) alphaGradientOfRows(s, span, a, columns, rows, alpha);
  else
    for (int64_t t = 0; t < span.count; t++)
      smallProduct<Into::fresh>(columns, wholeVectors(s.n), s.db, a + t * columns * s.wide, s.wide, 1, transposed + t * s.n, s.ld,
                                alpha + t * s.n, s.ld);
  for (int64_t c = 0; span.slots < span.lanes && c < columns; c++)
    for (int64_t lane = span.slots; lane < span.lanes; lane++) alpha[c * s.ld + lane] = 0.0f;
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
  State state(const Shape &s, const float *rows) { return {rows, take(s.narrow ? 0 : s.db * s.ld + W), take(s.ld)}; }
  static int64_t stateRoom(const Shape &s) { return s.block * s.n * s.wide + s.db * s.ld + s.ld + 4 * W; }

 private:
  float *at_;
};

}  // namespace VWN_ISA
}  // namespace vwn
