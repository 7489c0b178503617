/**
 * What a connection step of few slots is made of, m and n known when this is compiled. Coefficient c of slot i of a token is
 * in lane c·n + i of the token's own vectors, and a pass over a state makes all of its sums at once, in registers as far as
 * AVX-512 has them: with a handful of slots, products of general size spend more time on starting than on multiplying. Where the
 * processor multiplies pairs of bf16, a state in bf16 is: in its products with W and with dNext, if rows are whole vectors of pairs
 * (`halves`), and in the gradient through W always, two columns by two (`words`). Factors in float32 are rounded for that.
 */
#pragma once
#include "ahead.h"
#include "connection-inputs.h"

namespace vwn {
namespace VWN_ISA {

/** Coefficients of `columns` columns and N slots of one token, in whole vectors. */
template <int columns, int N>
struct FewLanes {
  static constexpr int count = columns * N, vectors = (count + W - 1) / W, size = vectors * W;
};

/** A coefficient set in the order of lanes. */
template <int columns, int N>
struct FewSet : FewLanes<columns, N> {
  using Lanes = FewLanes<columns, N>;
  const float *weights; /* [columns, wide] */
  const bf16 *halves;   /* the same for products of pairs; nothing where rows are no whole vectors of pairs */
  const float *words;   /* the same two columns by two */
  int64_t wide;
  float db, eps;
  float offsets[Lanes::size] = {}, scales[Lanes::size] = {};

  FewSet(const Shape &s, const CoefficientSet &set)
      : weights(set.weights), halves(s.wide % (2 * W) ? nullptr : set.halves), words(set.words), wide(s.wide),
        db(static_cast<float>(s.db)), eps(s.eps) {
    // A step without this half has no such set.
    for (int c = 0; c < set.columns; c++)
      for (int i = 0; i < N; i++) offsets[c * N + i] = set.offsets[c * s.ld + i], scales[c * N + i] = set.scales[c * s.ld + i];
  }
};

/** What the tokens of a block have in the order of lanes. */
template <int columns, int N>
struct FewCoefficients {
  static constexpr int size = FewLanes<columns, N>::size;
  float *alpha, *products, *activation; /* [tokens, size]: the coefficients, W·h, and tanh(·), this for the backward pass only */
  float *gradient;   /* [tokens, size]: of alpha, then of the products */
  float *reciprocal; /* [tokens, W]: Σ h² of each slot, then for the backward pass 1/rms */
  float *shift;      /* [tokens, W]: of each slot, as in activateGradient() */
  float *words;      /* [tokens, size]: the products' gradient two columns by two, as pairs of bf16 */

  FewCoefficients(const Shape &s, Memory &memory)
      : alpha(memory.take(s.block * size)), products(memory.take(s.block * size)), activation(memory.take(s.block * size)),
        gradient(memory.take(s.block * size)), reciprocal(memory.take(s.block * W)), shift(memory.take(s.block * W)),
        words(memory.take(s.block * size)) {}
  static int64_t room(const Shape &s) { return s.block * (5 * size + 2 * W); }
};

/** Lane i of the vectors at `to` is the sum of all lanes of sums[i]. */
template <int count>
VWN_INLINE void storeSums(const vf (&sums)[count], float *to) {
#pragma GCC unroll 8
  for (int first = 0; first < count; first += W) {
    vf rows[W];
#pragma GCC unroll 16
    for (int i = 0; i < W; i++) rows[i] = first + i < count ? sums[first + i] : vf{};
    store(to + first, sumsOfFirstRows(rows, count - first));
  }
}

/** Which slot lane i of vector `index` belongs to. */
template <int N, int index>
struct SlotOfLane {
  static constexpr int at(int lane) { return (index * W + lane) % N; }
};
/** Where slots 0 to N − 1 of a column are, from the vector on in which the column begins; other lanes are any. */
template <int N, int column>
struct LaneOfColumn {
  static constexpr int at(int lane) { return lane < N ? column * N % W + lane : 0; }
};

/** From lane i of x to every lane c·N + i. */
template <int N, int... index>
VWN_INLINE void spreadSlots(vf x, vf *to, std::integer_sequence<int, index...>) {
  ((to[index] = lanesOf<SlotOfLane<N, index>>(x, x)), ...);
}

/** Where column 2·(lane / N) + `second` of the slot of a lane is, in at most two vectors; of a column that is not there, anywhere. */
template <int columns, int N, bool second>
struct LaneOfTwo {
  static constexpr int of(int lane) { return (2 * (lane / N) + second) * N + lane % N; }
  static constexpr bool isThere(int lane) { return of(lane) < columns * N; }
  static constexpr int at(int lane) { return isThere(lane) ? of(lane) : 0; }
};

/** Whether column 2·(lane / N) + 1 of the slot of a lane is there: all bits, or none. */
template <int columns, int N, size_t... lane>
VWN_INLINE vi hasSecond(std::index_sequence<lane...>) {
  return vi{(LaneOfTwo<columns, N, true>::isThere(static_cast<int>(lane)) ? -1 : 0)...};
}

/**
 * Two columns by two, lane p·N + i: (column 2p, column 2p + 1) of slot i; 0 for a column that is not there, whatever stands in lanes of
 * no slot. There are fewer such lanes than a vector has.
 */
template <int columns, int N, int vectors>
VWN_INLINE vf twoByTwo(const vf (&x)[vectors]) {
  static_assert(vectors <= 2 && (columns + 1) / 2 * N <= W);
  const vf last = vectors > 1 ? x[1] : vf{};
  const vf first = lanesOf<LaneOfTwo<columns, N, false>>(x[0], last), second = lanesOf<LaneOfTwo<columns, N, true>>(x[0], last);
  return interleave(first, (vf)((vi)second & hasSecond<columns, N>(std::make_index_sequence<W>{})));
}

/** Lane i < N is the sum over columns of lane c·N + i. */
template <int N, int vectors, int... column>
VWN_INLINE vf sumOfColumns(const vf (&x)[vectors], std::integer_sequence<int, column...>) {
  vf total = {};
  ((total += lanesOf<LaneOfColumn<N, column>>(x[column * N / W], x[column * N / W + 1 < vectors ? column * N / W + 1 : 0])), ...);
  return total;
}

/** sum + a·b, of numbers or of their pairs. */
template <bool pairs>
VWN_INLINE vf plusProduct(vf sum, vf a, vf b) {
  if constexpr (pairs) return dotPairs(sum, a, b);
  else return sum + a * b;
}

/**
 * Products of a token's slots with the set's weights, and Σ h² of each slot; stateAt(d, x) brings a vector of each of the N slots from d
 * on: of W numbers, or of W pairs.
 */
template <bool pairs, int columns, int N, class StateAt>
VWN_INLINE void fewProducts(const FewSet<columns, N> &set, float *products, float *squares, const StateAt &stateAt) {
  vf sums[columns * N] = {}, own[N] = {};
  for (int64_t d = 0; d < set.wide; d += pairs ? 2 * W : W) {
    vf x[N];
    stateAt(d, x);
#pragma GCC unroll 16
    for (int c = 0; c < columns; c++) {
      const int64_t at = c * set.wide + d;
      const vf weight = pairs ? loadPairs(set.halves + at) : load(set.weights + at);
#pragma GCC unroll 4
      for (int i = 0; i < N; i++) sums[c * N + i] = plusProduct<pairs>(sums[c * N + i], weight, x[i]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < N; i++) own[i] = plusProduct<pairs>(own[i], x[i], x[i]);
  }
  storeSums(sums, products);
  storeSums(own, squares);
}

/** Products of all slots of a block with the set's weights, and Σ h² of each. */
template <int columns, int N, class T>
VWN_APART void fewProductsOfBlock(const FewSet<columns, N> &set, int64_t tokens, const T *state, const FewCoefficients<columns, N> &of,
                                  Ahead &ahead) {
  for (int64_t t = 0; t < tokens; t++, ahead.step()) {
    const T *from = state + t * N * set.wide;
    float *products = of.products + t * set.size, *squares = of.reciprocal + t * W;
    if constexpr (inPairs<T>)
      if (set.halves) {
        fewProducts<true>(set, products, squares, [&](int64_t d, vf(&x)[N]) {
#pragma GCC unroll 4
          for (int i = 0; i < N; i++) x[i] = loadPairs(from + i * set.wide + d);
        });
        continue;
      }
    fewProducts<false>(set, products, squares, [&](int64_t d, vf(&x)[N]) {
#pragma GCC unroll 4
      for (int i = 0; i < N; i++) x[i] = load(from + i * set.wide + d);
    });
  }
}

/** Eqs. 11–14 of all tokens; `reciprocal` holds Σ h² before. `keep`: what the backward pass needs. */
template <bool keep, int columns, int N>
VWN_INLINE void fewActivate(const FewSet<columns, N> &set, int64_t tokens, const FewCoefficients<columns, N> &of) {
  constexpr int size = FewSet<columns, N>::size, vectors = FewSet<columns, N>::vectors;
  for (int64_t t = 0; t < tokens; t++) {
    const vf r = 1.0f / vsqrt(load(of.reciprocal + t * W) / set.db + set.eps);
    if constexpr (keep) store(of.reciprocal + t * W, r);
    vf reciprocals[vectors];
    spreadSlots<N>(r, reciprocals, std::make_integer_sequence<int, vectors>{});
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
      const vf activation = vtanh(load(of.products + t * size + v * W) * reciprocals[v]);
      if constexpr (keep) store(of.activation + t * size + v * W, activation);
      store(of.alpha + t * size + v * W, activation * load(set.scales + v * W) + load(set.offsets + v * W));
    }
  }
}

/** Sums of the static part and the scale in the order of lanes, over the tokens of a block. */
template <int columns, int N>
struct FewSums : FewLanes<columns, N> {
  vf offset[FewLanes<columns, N>::vectors] = {}, scale[FewLanes<columns, N>::vectors] = {};

  void addTo(const Shape &s, const CoefficientSums &sums) const {
    for (int c = 0; c < columns; c++)
      for (int i = 0; i < N; i++) {
        const int lane = c * N + i;
        sums.offset[c * s.ld + i] += offset[lane / W][lane % W];
        sums.scale[c * s.ld + i] += scale[lane / W][lane % W];
      }
  }
};

/** As activateGradient() of connection-coefficients.h: of.gradient becomes that of the products with W. */
template <class T, int columns, int N>
VWN_INLINE void fewActivateGradient(const FewSet<columns, N> &set, const Shape &s, int64_t tokens, const FewCoefficients<columns, N> &of,
                                    const CoefficientSums &sums) {
  constexpr int size = FewSet<columns, N>::size, vectors = FewSet<columns, N>::vectors;
  FewSums<columns, N> block;
  for (int64_t t = 0; t < tokens; t++) {
    const vf r = load(of.reciprocal + t * W);
    vf dots[vectors], gradients[vectors], reciprocals[vectors];
    spreadSlots<N>(r, reciprocals, std::make_integer_sequence<int, vectors>{});
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) {
      const int64_t at = t * size + v * W;
      const vf up = load(of.gradient + at), activation = load(of.activation + at);
      const vf through = up * load(set.scales + v * W) * (1.0f - activation * activation) * reciprocals[v];
      block.offset[v] += up;
      block.scale[v] += up * activation;
      store(of.gradient + at, through);
      gradients[v] = through;
      dots[v] = through * load(of.products + at);
    }
    if constexpr (inPairs<T>) store(of.words + t * size, twoByTwo<columns, N>(gradients));
    store(of.shift + t * W, sumOfColumns<N>(dots, std::make_integer_sequence<int, columns>{}) * r * r / -set.db);
  }
  block.addTo(s, sums);
}

/** dW[c] += Σ over tokens and slots of gradient[c, i]·state[i], at `vectors` vectors: enough sums that none waits for itself. */
template <int columns, int N, int vectors, class T>
VWN_INLINE void fewWeightsGradientAt(int64_t d, int64_t wide, int64_t tokens, const float *gradient, const T *state, float *weights) {
  constexpr int size = FewLanes<columns, N>::size;
  vf sums[columns][vectors];
#pragma GCC unroll 16
  for (int c = 0; c < columns; c++)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) sums[c][v] = load(weights + c * wide + d + v * W);
  for (int64_t t = 0; t < tokens; t++)
#pragma GCC unroll 4
    for (int i = 0; i < N; i++) {
      vf x[vectors];
#pragma GCC unroll 4
      for (int v = 0; v < vectors; v++) x[v] = load(state + (t * N + i) * wide + d + v * W);
#pragma GCC unroll 16
      for (int c = 0; c < columns; c++) {
        const vf each = splat(gradient[t * size + c * N + i]);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) sums[c][v] += each * x[v];
      }
    }
#pragma GCC unroll 16
  for (int c = 0; c < columns; c++)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) store(weights + c * wide + d + v * W, sums[c][v]);
}

template <int columns, int N, class... Rest>
VWN_INLINE void fewWeightsGradient(int64_t wide, const Rest &...rest) {
  constexpr int vectors = columns > 4 ? 2 : 4;
  int64_t d = 0;
  for (; d + vectors * W <= wide; d += vectors * W) fewWeightsGradientAt<columns, N, vectors>(d, wide, rest...);
  for (; d < wide; d += W) fewWeightsGradientAt<columns, N, 1>(d, wide, rest...);
}

/** Floats that one block takes, forward or backward. */
template <int M, int N>
VWN_INLINE int64_t fewRoom(const Shape &s) {
  return FewCoefficients<N + M, N>::room(s) + FewCoefficients<M, N>::room(s) + (s.block * (N + M) + M) * s.wide;
}

/**
 * Calls run<m, n>() where passes are compiled for these: dynamic connections whose db is whole vectors, of (1,2) and (1,4),
 * hyper-connections, and (2,3) and (2,4), r = 1.5 and 2. @returns whether it was called
 */
template <class Run>
VWN_INLINE bool withFew(const Shape &s, Halves halves, const Run &run) {
  if (!halves.dynamic || s.db != s.wide) return false;
  if (s.m == 1 && s.n == 2) return run.template operator()<1, 2>(), true;
  if (s.m == 1 && s.n == 4) return run.template operator()<1, 4>(), true;
  if (s.m == 2 && s.n == 3) return run.template operator()<2, 3>(), true;
  if (s.m == 2 && s.n == 4) return run.template operator()<2, 4>(), true;
  return false;
}

}  // namespace VWN_ISA
}  // namespace vwn
