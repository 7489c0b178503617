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

/** Rows of queries that a block of either pass may have. */
constexpr int64_t mostForwardRows = 32, mostBackwardRows = 64;

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
    if (K < 1 || H % K || S < T || d < 1)
      return "attention: heads or lengths do not fit together: key heads must divide query heads, and keys be no fewer than "
             "queries";
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

/** The first `count` lanes of x, the rest of `others`. */
VWN_INLINE vf firstLanes(vf x, int64_t count, vf others) {
  vi lane;
  for (int i = 0; i < W; i++) lane[i] = i;
  return lane < splati(static_cast<int32_t>(count)) ? x : others;
}

/**
 * Row of scores → exponentials of the first `seen` times `scale`, 0 for the rest up to `width`, in float32 or bf16 (`to`
 * may be the row itself). Their log-sum into `logSum`; returns 1/Σ.
 */
template <class To>
VWN_INLINE float softmaxRow(float *row, To *to, int64_t seen, int64_t width, float scale, float *logSum) {
  const vf lowest = splat(-INFINITY), factor = splat(scale);
  const int64_t whole = seen / W * W, rest = seen - whole;
  if (rest) store(row + whole, firstLanes(load(row + whole), rest, lowest));
  const int64_t end = rest ? whole + W : whole;
  vf largest = lowest;
  for (int64_t j = 0; j < end; j += W) largest = vmax(load(row + j), largest);
  const float most = maxLanes(largest);
  const vf top = splat(most);
  vf total = {};
  for (int64_t j = 0; j < end; j += W) {
    const vf e = vexp((load(row + j) - top) * factor);
    total += e;
    store(to + j, e);
  }
  for (int64_t j = end; j < width; j += W) store(to + j, vf{});
  const float sum = sumLanes(total);
  *logSum = most * scale + std::log(sum);
  return 1.0f / sum;
}

/** Of one query: its log-sum, which the forward pass left, and Σ_j dy_j·y_j. */
struct QueryStatistics {
  float logSum, dot;
};

/**
 * A query's scores and dy·vᵀ (`dP`) for the first `seen` keys → P = exp(scores·scale − logSum) and dScores = P∘(dP − dot)
 * times the scale, in their places, and dScores as bf16 too where `halves` is not null; 0 for the rest up to `width`.
 */
VWN_INLINE void scoresGradient(float *p, float *dP, bf16 *halves, int64_t seen, int64_t width, float scale, QueryStatistics of) {
  const vf factor = splat(scale), logSum = splat(of.logSum), dot = splat(of.dot);
  const auto put = [&](int64_t j, vf e, vf gradient) {
    store(p + j, e);
    store(dP + j, gradient);
    if (halves) store(halves + j, gradient);
  };
  const int64_t whole = seen / W * W, rest = seen - whole;
  for (int64_t j = 0; j < whole; j += W) {
    const vf e = vexp(load(p + j) * factor - logSum);
    put(j, e, e * (load(dP + j) - dot) * factor);
  }
  // Chosen, not multiplied by 0: what is NaN of a query does not reach keys that it does not see.
  if (rest) {
    const vf e = vexp(load(p + whole) * factor - logSum);
    put(whole, firstLanes(e, rest, vf{}), firstLanes(e * (load(dP + whole) - dot) * factor, rest, vf{}));
  }
  for (int64_t j = rest ? whole + W : whole; j < width; j += W) put(j, vf{}, vf{});
}

/** dy·y of one query's row of one head. */
template <class T>
VWN_INLINE float dotOfRows(const T *a, const T *b, int64_t d) {
  vf sum = {};
  eachVector(
      d, [&](int64_t j) { sum += load(a + j) * load(b + j); },
      [&](int64_t j, int64_t n) { sum += loadFirst(a + j, n) * loadFirst(b + j, n); });
  return sumLanes(sum);
}

template <class T>
struct Tensors {
  const T *q, *k, *v;
};

/** What the gradient takes besides: logSums [B, H, T]. */
template <class T>
struct BackwardTensors : Tensors<T> {
  const T *y, *dy;
  const float *logSums;
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
