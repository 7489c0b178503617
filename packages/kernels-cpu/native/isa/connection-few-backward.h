/** The backward pass of a dynamic connection step with few slots (connection-few.h). */
#pragma once
#include "connection-backward.h"
#include "connection-few.h"
#include "connection-few-forward.h"

namespace vwn {
namespace VWN_ISA {

/**
 * Through the sublayer's norm: from dx, what reached the sublayer's input, to the gradient of what the token read, [M, wide]
 * at `dRead`. What it read is made once more, in `read`.
 */
template <int M, int N, class T>
VWN_INLINE void fewNormGradient(const SublayerNorm &norm, const float *alpha, const T *state, int64_t wide, const T *dx, float *read,
                                float *dRead, float *dWeight) {
  if (!norm.weight) {
    for (int64_t d = 0; d < M * wide; d += W) store(dRead + d, load(dx + d));
    return;
  }
  const float squares = fewRead<M, N>(alpha, state, wide, read);
  normRowGradBy(reciprocalOf(squares, norm.row), norm.row, read, norm.weight, dx, dRead, dWeight);
}

/** Gradient of coefficients of the read: lane c·N + i is dRead[c]·state[i]. */
template <int M, int N, class T>
VWN_INLINE void fewReadDots(const float *dRead, const T *state, int64_t wide, float *gradient) {
  vf sums[M * N] = {};
  for (int64_t d = 0; d < wide; d += W) {
    vf x[N];
#pragma GCC unroll 4
    for (int i = 0; i < N; i++) x[i] = load(state + i * wide + d);
#pragma GCC unroll 4
    for (int c = 0; c < M; c++) {
      const vf up = load(dRead + c * wide + d);
#pragma GCC unroll 4
      for (int i = 0; i < N; i++) sums[c * N + i] += up * x[i];
    }
  }
  storeSums(sums, gradient);
}

/** What a state's gradient gets of the products with W: their gradient and W itself, two columns by two where there are pairs. */
template <class T, int columns, int N>
struct FewThrough {
  const float *gradient, *weights;
  FewThrough(const FewSet<columns, N> &set, const FewCoefficients<columns, N> &of, int64_t t)
      : gradient((inPairs<T> ? of.words : of.gradient) + t * set.size), weights(inPairs<T> ? set.words : set.weights) {}
};

/**
 * Row i of the gradient of a state at `vectors` vectors: start(i, d) + Σ_c alpha[c, i]·up[c] + Σ_k through[k, i]·weights[k] +
 * shift[i]·state[i]. There are more coefficients than registers, so each that is loaded should serve several vectors.
 */
template <int columns, int N, int ups, int vectors, class T, class Start, class To>
VWN_INLINE void fewStateGradientAt(int64_t d, const float *alpha, const float *up, const FewThrough<T, columns, N> &through,
                                   const float *shift, const T *state, int64_t wide, const Start &start, const To &to) {
  vf sums[N][vectors];
  const auto add = [&]<bool pairs>(const float *row, const float *coefficients) {
    vf x[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) x[v] = load(row + d + v * W);
#pragma GCC unroll 4
    for (int i = 0; i < N; i++) {
      const vf coefficient = splat(coefficients[i]);
#pragma GCC unroll 4
      for (int v = 0; v < vectors; v++) sums[i][v] = plusProduct<pairs>(sums[i][v], coefficient, x[v]);
    }
  };
#pragma GCC unroll 4
  for (int i = 0; i < N; i++)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) sums[i][v] = start(i, d + v * W) + splat(shift[i]) * load(state + i * wide + d + v * W);
#pragma GCC unroll 4
  for (int c = 0; c < ups; c++) add.template operator()<false>(up + c * wide, alpha + c * N);
#pragma GCC unroll 8
  for (int k = 0; k < (inPairs<T> ? (columns + 1) / 2 : columns); k++)
    add.template operator()<inPairs<T>>(through.weights + k * wide, through.gradient + k * N);
#pragma GCC unroll 4
  for (int i = 0; i < N; i++)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) to(i, d + v * W, sums[i][v]);
}

template <int columns, int N, int ups, class... Rest>
VWN_INLINE void fewStateGradient(int64_t wide, const Rest &...rest) {
  int64_t d = 0;
  for (; d + 4 * W <= wide; d += 4 * W) fewStateGradientAt<columns, N, ups, 4>(d, rest...);
  for (; d < wide; d += W) fewStateGradientAt<columns, N, ups, 1>(d, rest...);
}

/** dout of a token, and the gradient of the write's coefficients: dNext[c]·state[i], then out[j]·dNext[i]. */
template <int M, int N, class T>
VWN_INLINE void fewWriteDots(const float *beta, const float *dNext, const T *state, const T *out, int64_t wide, T *dout,
                             float *gradient) {
  vf sums[(N + M) * N] = {};
  for (int64_t d = 0; d < wide; d += W) {
    vf up[N];
#pragma GCC unroll 4
    for (int i = 0; i < N; i++) up[i] = load(dNext + i * wide + d);
#pragma GCC unroll 4
    for (int j = 0; j < M; j++) {
      const vf made = load(out + j * wide + d);
      vf back = splat(beta[j * N]) * up[0];
#pragma GCC unroll 4
      for (int i = 1; i < N; i++) back += splat(beta[j * N + i]) * up[i];
#pragma GCC unroll 4
      for (int i = 0; i < N; i++) sums[(N + j) * N + i] += made * up[i];
      store(dout + j * wide + d, back);
    }
#pragma GCC unroll 4
    for (int i = 0; i < N; i++) {
      const vf x = load(state + i * wide + d);
#pragma GCC unroll 4
      for (int c = 0; c < N; c++) sums[c * N + i] += up[c] * x;
    }
  }
  storeSums(sums, gradient);
}

/** The same by products of pairs, dNext rounded but for dout. */
template <int M, int N>
VWN_INLINE void fewWriteDotsOfPairs(const float *beta, const float *dNext, const bf16 *state, const bf16 *out, int64_t wide, bf16 *dout,
                                    float *gradient) {
  vf sums[(N + M) * N] = {};
  for (int64_t d = 0; d < wide; d += 2 * W) {
    vf lower[N], upper[N], up[N];
#pragma GCC unroll 4
    for (int i = 0; i < N; i++) {
      lower[i] = load(dNext + i * wide + d), upper[i] = load(dNext + i * wide + d + W);
      up[i] = narrowBoth(lower[i], upper[i]);
    }
#pragma GCC unroll 4
    for (int j = 0; j < M; j++) {
      const vf made = loadPairs(out + j * wide + d);
      vf first = splat(beta[j * N]) * lower[0], second = splat(beta[j * N]) * upper[0];
#pragma GCC unroll 4
      for (int i = 1; i < N; i++) first += splat(beta[j * N + i]) * lower[i], second += splat(beta[j * N + i]) * upper[i];
#pragma GCC unroll 4
      for (int i = 0; i < N; i++) sums[(N + j) * N + i] = dotPairs(sums[(N + j) * N + i], made, up[i]);
      storePairs(dout + j * wide + d, narrowBoth(first, second));
    }
#pragma GCC unroll 4
    for (int i = 0; i < N; i++) {
      const vf x = loadPairs(state + i * wide + d);
#pragma GCC unroll 4
      for (int c = 0; c < N; c++) sums[c * N + i] = dotPairs(sums[c * N + i], up[c], x);
    }
  }
  storeSums(sums, gradient);
}

/** From dhNext and dx to dNext, [tokens, N, wide], the gradient of the state that was read, which is at `state`. */
template <int M, int N, class T, class To>
VWN_APART void fewReadGradient(const Shape &s, const Span &span, const Sets &sets, const Backward<T> &io, const Sums &sums, Ahead &ahead,
                               Memory memory, const T *state, To *dNext) {
  const FewSet<M, N> set(s, sets.read);
  const FewCoefficients<M, N> of(s, memory);
  float *read = memory.take(M * s.wide), *dRead = memory.rows(s, M);
  const int64_t wide = s.wide, ofState = N * wide, ofBackbone = M * wide;
  const T *dx = io.dx + span.first * ofBackbone;
  const T *dhNext = io.dhNext ? io.dhNext + span.first * ofState : nullptr;
  fewProductsOfBlock(set, span.count, state, of, ahead);
  fewActivate<true>(set, span.count, of);
  for (int64_t t = 0; t < span.count; t++, ahead.step())
    fewNormGradient<M, N>(sets.norm, of.alpha + t * set.size, state + t * ofState, wide, dx + t * ofBackbone, read,
                          dRead + t * ofBackbone, sums.norm);
  for (int64_t t = 0; t < span.count; t++, ahead.step())
    fewReadDots<M, N>(dRead + t * ofBackbone, state + t * ofState, wide, of.gradient + t * set.size);
  fewActivateGradient<T>(set, s, span.count, of, sums.read);
  fewWeightsGradient<M, N>(wide, span.count, of.gradient, state, sums.read.weights);
  for (int64_t t = 0; t < span.count; t++, ahead.step()) {
    const auto start = [&](int i, int64_t d) { return dhNext ? load(dhNext + t * ofState + i * wide + d) : vf{}; };
    const auto to = [&](int i, int64_t d, vf sum) { store(dNext + t * ofState + i * wide + d, sum); };
    fewStateGradient<M, N, M>(wide, of.alpha + t * set.size, dRead + t * ofBackbone, FewThrough<T, M, N>(set, of, t), of.shift + t * W,
                              state + t * ofState, wide, start, to);
  }
}

/** From dNext to dh and dout. */
template <int M, int N, class T>
VWN_APART void fewWriteGradient(const Shape &s, const Span &span, const Sets &sets, const Backward<T> &io, const CoefficientSums &sums,
                                Ahead &ahead, Memory memory, const float *dNext) {
  const FewSet<N + M, N> set(s, sets.write);
  const FewCoefficients<N + M, N> of(s, memory);
  const int64_t wide = s.wide, ofState = N * wide, ofBackbone = M * wide;
  const T *h = io.h + span.first * ofState, *out = io.out + span.first * ofBackbone;
  T *dh = io.dh + span.first * ofState, *dout = io.dout + span.first * ofBackbone;
  fewProductsOfBlock(set, span.count, h, of, ahead);
  fewActivate<true>(set, span.count, of);
  for (int64_t t = 0; t < span.count; t++, ahead.step()) {
    const float *beta = of.alpha + t * set.size + N * N, *up = dNext + t * ofState;
    const T *from = h + t * ofState, *made = out + t * ofBackbone;
    T *down = dout + t * ofBackbone;
    float *gradient = of.gradient + t * set.size;
    if constexpr (inPairs<T>)
      if (set.halves) {
        fewWriteDotsOfPairs<M, N>(beta, up, from, made, wide, down, gradient);
        continue;
      }
    fewWriteDots<M, N>(beta, up, from, made, wide, down, gradient);
  }
  fewActivateGradient<T>(set, s, span.count, of, sums);
  fewWeightsGradient<N + M, N>(wide, span.count, of.gradient, h, sums.weights);
  for (int64_t t = 0; t < span.count; t++, ahead.step()) {
    const auto start = [](int, int64_t) { return vf{}; };
    const auto to = [&](int i, int64_t d, vf sum) { store(dh + t * ofState + i * wide + d, sum); };
    fewStateGradient<N + M, N, N>(wide, of.alpha + t * set.size, dNext + t * ofState, FewThrough<T, N + M, N>(set, of, t),
                                  of.shift + t * W, h + t * ofState, wide, start, to);
  }
}

template <int M, int N, class T>
void backwardBlockOfFew(const Shape &s, const Span &span, const Sets &sets, Halves halves, const Backward<T> &io, const Sums &sums,
                        Ahead ahead, float *base) {
  Memory memory(base);
  const int64_t atState = span.first * N * s.wide;
  ahead.spread(span.count * (halves.read && halves.write ? 7 : halves.read ? 4 : 3));
  if (!halves.write) return fewReadGradient<M, N>(s, span, sets, io, sums, ahead, memory, io.h + atState, io.dh + atState);
  float *room = memory.rows(s, N);
  const float *dNext = room;
  if (halves.read) fewReadGradient<M, N>(s, span, sets, io, sums, ahead, memory, io.hNext + atState, room);
  else if (io.dhNext) dNext = rowsAt(io.dhNext + atState, span.slots, s, room);
  else std::memset(room, 0, static_cast<size_t>(s.block * N * s.wide) * 4);
  fewWriteGradient<M, N>(s, span, sets, io, sums.write, ahead, memory, dNext);
}

}  // namespace VWN_ISA
}  // namespace vwn
