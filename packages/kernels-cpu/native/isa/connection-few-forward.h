/** The forward pass of a dynamic connection step with few slots (connection-few.h). */
#pragma once
#include "connection-few.h"
#include "connection-forward.h"

namespace vwn {
namespace VWN_ISA {

/** next[c] = Σ_i alpha[c, i]·x[i] + Σ_j beta[j, c]·out[j] at one vector (eq. 10); beta stands behind alpha. */
template <int M, int N>
VWN_INLINE void fewWrite(const float *alpha, const vf (&x)[N], const vf (&out)[M], vf (&next)[N]) {
#pragma GCC unroll 4
  for (int c = 0; c < N; c++) {
    next[c] = splat(alpha[c * N]) * x[0];
#pragma GCC unroll 4
    for (int i = 1; i < N; i++) next[c] += splat(alpha[c * N + i]) * x[i];
#pragma GCC unroll 4
    for (int j = 0; j < M; j++) next[c] += splat(alpha[(N + j) * N + c]) * out[j];
  }
}

/** What a token reads of `state` (eq. 10) to `to`, and Σ of its squares. */
template <int M, int N, class From, class To>
VWN_INLINE float fewRead(const float *alpha, const From *state, int64_t wide, To *to) {
  vf squares[M] = {};
  for (int64_t d = 0; d < wide; d += W) {
    vf x[N];
#pragma GCC unroll 4
    for (int i = 0; i < N; i++) x[i] = load(state + i * wide + d);
#pragma GCC unroll 4
    for (int c = 0; c < M; c++) {
      vf sum = splat(alpha[c * N]) * x[0];
#pragma GCC unroll 4
      for (int i = 1; i < N; i++) sum += splat(alpha[c * N + i]) * x[i];
      squares[c] += sum * sum;
      store(to + c * wide + d, sum);
    }
  }
  vf total = squares[0];
  for (int c = 1; c < M; c++) total += squares[c];
  return sumLanes(total);
}

/** What a token reads, through the sublayer's norm where there is one; `room` for [M, wide]. */
template <int M, int N, class T>
VWN_INLINE void fewReadNormed(const SublayerNorm &norm, const float *alpha, const T *state, int64_t wide, float *room, T *x) {
  if (!norm.weight) {
    fewRead<M, N>(alpha, state, wide, x);
    return;
  }
  const float squares = fewRead<M, N>(alpha, state, wide, room);
  normRowBy(reciprocalOf(squares, norm.row), norm.row, room, norm.weight, x);
}

/** Writes a token's next state, `write` making it a vector at a time, and gives its products with the set that reads it. */
template <int M, int N, class T, class Write>
VWN_INLINE void fewWriteRead(const FewSet<M, N> &set, int64_t wide, T *next, float *products, float *squares, const Write &write) {
  if constexpr (inPairs<T>)
    if (set.halves)
      return fewProducts<true>(set, products, squares, [&](int64_t d, vf(&pairs)[N]) {
        vf lower[N], upper[N];
        write(d, lower);
        write(d + W, upper);
#pragma GCC unroll 4
        for (int i = 0; i < N; i++) {
          pairs[i] = narrowBoth(lower[i], upper[i]);
          storePairs(next + i * wide + d, pairs[i]);
        }
      });
  fewProducts<false>(set, products, squares, [&](int64_t d, vf(&row)[N]) {
    write(d, row);
#pragma GCC unroll 4
    for (int i = 0; i < N; i++) store(next + i * wide + d, row[i]);
  });
}

/** The write of a block: the next state, of which `reading` gets its products at once. */
template <int M, int N, class T>
VWN_APART void fewWriteBlock(const Shape &s, const Span &span, const Sets &sets, const Forward<T> &io, Ahead &ahead, Memory memory,
                             const FewSet<M, N> *reading, const FewCoefficients<M, N> &read) {
  const FewSet<N + M, N> set(s, sets.write);
  const FewCoefficients<N + M, N> of(s, memory);
  const int64_t wide = s.wide, ofState = N * wide, ofBackbone = M * wide;
  const T *h = io.h + span.first * ofState, *out = io.out + span.first * ofBackbone;
  fewProductsOfBlock(set, span.count, h, of, ahead);
  fewActivate<false>(set, span.count, of);
  for (int64_t t = 0; t < span.count; t++, ahead.step()) {
    T *const next = io.hNext + (span.first + t) * ofState;
    const auto write = [&](int64_t d, vf(&row)[N]) {
      vf before[N], made[M];
#pragma GCC unroll 4
      for (int i = 0; i < N; i++) before[i] = load(h + t * ofState + i * wide + d);
#pragma GCC unroll 4
      for (int j = 0; j < M; j++) made[j] = load(out + t * ofBackbone + j * wide + d);
      fewWrite<M, N>(of.alpha + t * set.size, before, made, row);
    };
    if (reading) fewWriteRead(*reading, wide, next, read.products + t * reading->size, read.reciprocal + t * W, write);
    for (int64_t d = 0; !reading && d < wide; d += W) {
      vf row[N];
      write(d, row);
#pragma GCC unroll 4
      for (int i = 0; i < N; i++) store(next + i * wide + d, row[i]);
    }
  }
}

template <int M, int N, class T>
void forwardBlockOfFew(const Shape &s, const Span &span, const Sets &sets, Halves halves, const Forward<T> &io, Ahead ahead, float *base) {
  Memory memory(base);
  const FewSet<M, N> set(s, sets.read);
  const FewCoefficients<M, N> of(s, memory);
  float *read = memory.take(M * s.wide);
  const int64_t wide = s.wide, ofState = N * wide, ofBackbone = M * wide;
  ahead.spread(span.count * (halves.read && halves.write ? 3 : 2));
  if (halves.write) fewWriteBlock<M, N>(s, span, sets, io, ahead, memory, halves.read ? &set : nullptr, of);
  if (!halves.read) return;
  const T *h = (halves.write ? io.hNext : io.h) + span.first * ofState;
  if (!halves.write) fewProductsOfBlock(set, span.count, h, of, ahead);
  fewActivate<false>(set, span.count, of);
  for (int64_t t = 0; t < span.count; t++, ahead.step())
    fewReadNormed<M, N>(sets.norm, of.alpha + t * set.size, h + t * ofState, wide, read, io.x + (span.first + t) * ofBackbone);
}

}  // namespace VWN_ISA
}  // namespace vwn
