/** What the two ways of computing attention share: sizes, rows of heads, softmax and its gradient. */
#pragma once
#include "call.h"
#include "pairs.h"
#include "rows.h"
#include "products.h"
#include "transpose.h"

namespace vwn {
namespace VWN_ISA {

VWN_INLINE int64_t roundUp(int64_t x) { return (x + W - 1) / W * W; }

/** Rows of queries that a block of the forward pass may have. */
constexpr int64_t mostForwardRows = 32;

struct Sizes {
  int64_t B, T, S, H, K, d;
  bool byAmx;                        /* whether pairs are multiplied, and by AMX */
  int64_t forwardRows, backwardRows; /* queries of a block: as many as make the tiles of its products even */
  int64_t group, wide, keys;         /* query heads a key head; d in whole vectors; S as wholeKeys() has it */
  float scale;

  explicit Sizes(Call &call)
      : B(call.dimension(0)), T(call.dimension(1)), S(call.dimension(2)), H(call.dimension(3)), K(call.dimension(4)), d(call.dimension(5)),
        byAmx(usesAmx() && call.type(0) == VWN_BF16 && d % 2 == 0), forwardRows(byAmx ? 32 : 24), backwardRows(byAmx ? 64 : 36),
        group(K > 0 ? H / K : 0), wide(roundUp(d)), keys(wholeKeys(S)), scale(1.0f / std::sqrt(static_cast<float>(d))) {}

  /** Keys that a block computes with when it sees so many: AMX takes pairs of 32 at a time. */
  int64_t wholeKeys(int64_t seen) const {
    const int64_t grain = byAmx ? 2 * W : W;
    return (seen + grain - 1) / grain * grain;
  }

  const char *problem() const {
    if (K < 1 || H % K || S < T || d < 1) return "attention: heads or lengths do not fit together";
    return nullptr;
  }
};

/** Rows of one head, [count, d] at stride, as float32 rows of `wide`, zeros behind. */
template <class T>
void copyRows(const T *from, int64_t stride, int64_t count, int64_t d, int64_t wide, float *to) {
  for (int64_t i = 0; i < count; i++)
    for (int64_t j = 0; j < wide; j += W) {
      const int64_t left = d - j;
      store(to + i * wide + j, left >= W ? load(from + i * stride + j) : loadFirst(from + i * stride + j, left));
    }
}

template <class T>
void writeRows(const float *from, int64_t wide, int64_t count, int64_t d, T *to, int64_t stride) {
  for (int64_t i = 0; i < count; i++)
    eachVector(
        d, [&](int64_t j) { store(to + i * stride + j, load(from + i * wide + j)); },
        [&](int64_t j, int64_t n) { storeFirst(to + i * stride + j, loadFirst(from + i * wide + j, n), n); });
}

/**
 * Row of scores → exponentials of the first `seen` times `scale`, 0 for the rest up to `width`, in float32 or bf16 (`to`
 * may be the row itself). Returns 1/Σ; with `normalize` they are multiplied by it already.
 */
template <class To>
VWN_INLINE float softmaxRow(float *row, To *to, int64_t seen, int64_t width, float scale, bool normalize) {
  const vf lowest = splat(-INFINITY), factor = splat(scale);
  const int64_t whole = seen / W * W, rest = seen - whole;
  vi lane;
  for (int i = 0; i < W; i++) lane[i] = i;
  if (rest) {
    const vf last = load(row + whole);
    store(row + whole, lane < splati(static_cast<int32_t>(rest)) ? last : lowest);
  }
  const int64_t end = rest ? whole + W : whole;
  vf largest = lowest;
  for (int64_t j = 0; j < end; j += W) largest = vmax(load(row + j), largest);
  const vf top = splat(maxLanes(largest));
  vf total = {};
  for (int64_t j = 0; j < end; j += W) {
    const vf e = vexp((load(row + j) - top) * factor);
    total += e;
    store(to + j, e);
  }
  for (int64_t j = end; j < width; j += W) store(to + j, vf{});
  const float inverse = 1.0f / sumLanes(total);
  if (normalize)
    for (int64_t j = 0; j < end; j += W) store(to + j, load(to + j) * inverse);
  return inverse;
}

/** dScores = P ∘ (dP − Σ P∘dP), times the scale of the scores, into dP; one row. */
VWN_INLINE void scoresGradient(const float *p, float *dP, int64_t width, float scale) {
  vf dot = {};
  for (int64_t j = 0; j < width; j += W) dot += load(p + j) * load(dP + j);
  const vf mean = splat(sumLanes(dot)), factor = splat(scale);
  for (int64_t j = 0; j < width; j += W) store(dP + j, load(p + j) * (load(dP + j) - mean) * factor);
}

template <class T>
struct Tensors {
  const T *q, *k, *v, *dy;
};

/** What a thread holds of one key/value head; in pairs, half as many rows of words. */
struct Head {
  float *keysT;   /* [d, keys] */
  float *valuesT; /* [d, keys], backward only */
  float *rows;    /* keys (backward) or values (forward), [keys, wide] */
};

/** What a thread holds of one block in the backward pass. */
struct Room {
  float *queries, *dOut, *dQuery; /* [backwardRows, wide] */
  float *p, *dP;                  /* [backwardRows, keys] */
  float *halves;                  /* [backwardRows, keys] of bf16, for pairs */
  float *dKeys, *dValues;         /* [S, wide] */
};

}  // namespace VWN_ISA
}  // namespace vwn
