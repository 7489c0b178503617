/**
 * What both passes of a connection step are made of. A block has one token at a time: its state [n, db], backbone [m, db]
 * and coefficients [n, columns] lie in the block's room as float32, row after row. Every function here is for all threads
 * of the block, and ends with a barrier.
 */
#pragma once
#include "connection-shape.h"
#include "device.h"

namespace vwn {
namespace cuda {

VWN_DEVICE int64_t blockWarp() { return threadIdx.x / warpSize_; }
VWN_DEVICE int64_t blockWarps() { return blockDim.x / warpSize_; }
VWN_DEVICE int64_t blockLane() { return threadIdx.x % warpSize_; }

/** The coefficients that share a state and its norm: for the write those of Â and B, for the read those of A°. */
struct CoefficientSet {
  ConnectionParameters parameters;
  int64_t columns;
  bool isWrite;
};

VWN_DEVICE CoefficientSet writeSet(const ConnectionShape &s, const ConnectionParameters &p) { return {p, s.n + s.m, true}; }
VWN_DEVICE CoefficientSet readSet(const ConnectionShape &s, const ConnectionParameters &p) { return {p, s.m, false}; }

/** Where a column of a set stands: column `at` of matrices with `stride` columns. */
struct Column {
  const float *offset, *scale, *fn;
  int64_t stride, at;
};
VWN_DEVICE Column columnOf(const ConnectionShape &s, const CoefficientSet &set, int64_t c) {
  const ConnectionParameters &p = set.parameters;
  if (!set.isWrite) return {p.staticAlpha, p.alphaScale, p.alphaFn, s.m + s.n, c};
  if (c < s.n) return {p.staticAlpha, p.alphaScale, p.alphaFn, s.m + s.n, s.m + c};
  return {p.staticBeta, p.betaScale, p.betaFn, s.m, c - s.n};
}

/** W[d] of a column with what the norm and the scaling of eqs. 11–14 multiply it by: fn · norm weight / √db; `root` is 1/√db. */
VWN_DEVICE float foldedWeight(const Column &of, const float *norm, int d, float root) {
  return of.fn[d * static_cast<int>(of.stride) + static_cast<int>(of.at)] * norm[d] * root;
}

/** In a third of tanhf's instructions, with an error of some 1e-7 where tanh is small, for steps in bf16. NaN of NaN. */
VWN_DEVICE float shortTanh(float x) {
#if defined(__CUDACC__)
  float power, inverse;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x * 2.885390082f));
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(1.0f + power));
  return 1.0f - 2.0f * inverse;
#else
  return 1.0f - 2.0f / (1.0f + exp2f(x * 2.885390082f));
#endif
}

template <class T>
VWN_DEVICE void loadToken(const T *from, int64_t count, float *to) {
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) to[i] = toFloat(from[i]);
  __syncthreads();
}
template <class T>
VWN_DEVICE void storeToken(const float *from, int64_t count, T *to) {
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) put(to[i], from[i]);
  __syncthreads();
}

/** 1/rms of every slot; a warp a slot. */
VWN_DEVICE void normalize(const ConnectionShape &s, const float *state, float *reciprocal) {
  for (int64_t i = blockWarp(); i < s.n; i += blockWarps()) {
    float squares = 0;
    for (int64_t d = blockLane(); d < s.db; d += warpSize_) squares += state[i * s.db + d] * state[i * s.db + d];
    squares = warpSum(squares);
    if (blockLane() == 0) reciprocal[i] = 1.0f / sqrtf(squares / static_cast<float>(s.db) + s.eps);
  }
  __syncthreads();
}

/** 1/rms of a token's backbone, for the sublayer's norm; `sums`: room for one of each warp. */
VWN_DEVICE float reciprocalOfBackbone(const ConnectionShape &s, const float *backbone, float *sums) {
  float squares = 0;
  for (int64_t i = threadIdx.x; i < s.m * s.db; i += blockDim.x) squares += backbone[i] * backbone[i];
  return 1.0f / sqrtf(blockSum(squares, sums) / static_cast<float>(s.m * s.db) + s.normEps);
}

/** Columns from which on a warp adds up a sum over them, rather than a thread. */
constexpr int64_t longRow = 64;

/** Calls put(at, Σ_d term(at, d)) for `count` sums over db, by one thread each. */
template <class Term, class Put>
VWN_DEVICE void eachSum(const ConnectionShape &s, int64_t count, const Term &term, const Put &put) {
  if (s.db < longRow) {
    for (int64_t at = threadIdx.x; at < count; at += blockDim.x) {
      float sum = 0;
      for (int64_t d = 0; d < s.db; d++) sum += term(at, d);
      put(at, sum);
    }
  } else {
    for (int64_t at = blockWarp(); at < count; at += blockWarps()) {
      float sum = 0;
      for (int64_t d = blockLane(); d < s.db; d += warpSize_) sum += term(at, d);
      sum = warpSum(sum);
      if (blockLane() == 0) put(at, sum);
    }
  }
}

/** Eqs. 11–14: alpha = S ∘ tanh(norm(h)·W/√db) + static; keeps tanh(·) where `activation` is given. */
VWN_DEVICE void evaluate(const ConnectionShape &s, const CoefficientSet &set, const float *state, const float *reciprocal,
                         float *activation, float *alpha) {
  const float root = 1.0f / sqrtf(static_cast<float>(s.db));
  const int64_t count = s.n * set.columns;
  for (int64_t at = threadIdx.x; !s.dynamic && at < count; at += blockDim.x) {
    const Column column = columnOf(s, set, at % set.columns);
    alpha[at] = column.offset[at / set.columns * column.stride + column.at];
  }
  const auto term = [&](int64_t at, int64_t d) {
    const Column column = columnOf(s, set, at % set.columns);
    return state[at / set.columns * s.db + d] * set.parameters.normWeight[d] * column.fn[d * column.stride + column.at];
  };
  if (s.dynamic)
    eachSum(s, count, term, [&](int64_t at, float sum) {
      const int64_t i = at / set.columns;
      const Column column = columnOf(s, set, at % set.columns);
      const float t = tanhf(sum * root * reciprocal[i]);
      if (activation) activation[at] = t;
      alpha[at] = t * column.scale[i * column.stride + column.at] + column.offset[i * column.stride + column.at];
    });
  __syncthreads();
}

/** to[c] = Σ_i alpha[i, from + c]·rows[i] for `count` columns. */
VWN_DEVICE void gather(const ConnectionShape &s, const float *alpha, int64_t columns, int64_t from, int64_t count,
                       const float *rows, float *to) {
  for (int64_t at = threadIdx.x; at < count * s.db; at += blockDim.x) {
    const int64_t c = from + at / s.db, d = at % s.db;
    float sum = 0;
    for (int64_t i = 0; i < s.n; i++) sum += alpha[i * columns + c] * rows[i * s.db + d];
    to[at] = sum;
  }
  __syncthreads();
}

/** to[i] = or += Σ_c alpha[i, from + c]·rows[c] for `count` columns. */
VWN_DEVICE void spread(const ConnectionShape &s, const float *alpha, int64_t columns, int64_t from, int64_t count,
                       const float *rows, bool add, float *to) {
  for (int64_t at = threadIdx.x; at < s.n * s.db; at += blockDim.x) {
    const float *own = alpha + at / s.db * columns + from;
    const int64_t d = at % s.db;
    float sum = add ? to[at] : 0.0f;
    for (int64_t c = 0; c < count; c++) sum += own[c] * rows[c * s.db + d];
    to[at] = sum;
  }
  __syncthreads();
}

/** to[i, from + c] = rows[i]·others[c] for `count` columns: the gradient of coefficients. */
VWN_DEVICE void coefficientGradient(const ConnectionShape &s, const float *rows, const float *others, int64_t columns,
                                    int64_t from, int64_t count, float *to) {
  eachSum(
      s, s.n * count, [&](int64_t at, int64_t d) { return rows[at / count * s.db + d] * others[at % count * s.db + d]; },
      [&](int64_t at, float sum) { to[at / count * columns + from + at % count] = sum; });
  __syncthreads();
}

/** Shared memory, or this block's part of `spilled` where a token takes more than a block may have. */
VWN_DEVICE float *roomOf(float *shared, float *spilled, int64_t floats) {
  return spilled ? spilled + static_cast<int64_t>(blockIdx.x) * floats : shared;
}

}  // namespace cuda
}  // namespace vwn
