/**
 * Arguments of functions whose libraries differ in how they compute and not in what they are asked: read and checked in
 * one place. Where `problem()` of the call says something, pointers must not be used.
 */
#pragma once
#include "vwn_call.h"

namespace vwn {
namespace VWN_ISA {

/** Real numbers of a buffer, in their own storage. */
struct Reals {
  void *data;
  int32_t type; /* VWN_F32 or VWN_BF16 */
};

inline Reals realsOf(Call &call, int i, std::initializer_list<int64_t> dimensions) {
  return {call.reals(i, dimensions), call.type(i)};
}

/**
 * Buffers: a [batchA·M·K], b [batchB·K·N], c [batch·M·N]; strides of 0 repeat one matrix for the whole batch.
 * Numbers: M, N, K, transposeA, transposeB, halves, batch, strideA, strideB.
 */
struct MatmulArguments {
  int64_t M, N, K, batch, strideA, strideB;
  bool transposeA, transposeB, halves;
  Reals a, b, c;

  explicit MatmulArguments(Call &call)
      : M(call.dimension(0)), N(call.dimension(1)), K(call.dimension(2)), batch(call.dimension(6)), strideA(call.integer(7)),
        strideB(call.integer(8)), transposeA(call.integer(3) != 0), transposeB(call.integer(4) != 0),
        halves(call.integer(5) != 0), a(realsOf(call, 0, {strideA ? batch : 1, M, K})),
        b(realsOf(call, 1, {strideB ? batch : 1, K, N})), c(realsOf(call, 2, {batch, M, N})) {}

  const char *problem() const {
    const bool fits = (!strideA || strideA == M * K) && (!strideB || strideB == K * N);
    return fits ? nullptr : "matmul: matrices of a batch must lie one after the other";
  }
};

/**
 * x and what multiplies it, for any number of weights. Buffers: x [R·K], the weight [out_i·K] of each, and what the structs
 * below say. Numbers: R, K, halves, then out_i of every weight.
 */
struct WeightsArguments {
  int64_t rows, width;
  bool halves;
  int weights;
  Reals x{};

  int64_t out(Call &call, int i) const { return call.dimension(3 + i); }
  Reals weight(Call &call, int i) const { return realsOf(call, 1 + i, {out(call, i), width}); }
  const char *problem() const { return problem_; }

 protected:
  /** `extra` buffers besides those above, and `ofWeight` for each weight. */
  WeightsArguments(Call &call, int extra, int ofWeight)
      : rows(call.dimension(0)), width(call.dimension(1)), halves(call.integer(2) != 0), weights(call.numbers() - 3) {
    if (weights < 1 || call.buffers() != 1 + extra + (1 + ofWeight) * weights)
      problem_ = "linears: x, a weight or more, and results for each are needed";
    else x = realsOf(call, 0, {rows, width});
  }

 private:
  const char *problem_ = nullptr;
};

/** …, y_i [R·out_i]: y_i = x W_iᵀ. */
struct LinearsArguments : WeightsArguments {
  explicit LinearsArguments(Call &call) : WeightsArguments(call, 0, 1) {}
  Reals y(Call &call, int i) const { return realsOf(call, 1 + weights + i, {rows, out(call, i)}); }
};

/** …, dy_i [R·out_i], dx [R·K], dW_i float32 [out_i·K]: dx = Σ dy_i W_i, dW_i = dy_iᵀ x. */
struct LinearsGradArguments : WeightsArguments {
  Reals dx{};
  explicit LinearsGradArguments(Call &call) : WeightsArguments(call, 1, 2) {
    if (!problem()) dx = realsOf(call, 1 + 2 * weights, {rows, width});
  }
  Reals dy(Call &call, int i) const { return realsOf(call, 1 + weights + i, {rows, out(call, i)}); }
  float *dWeight(Call &call, int i) const { return call.floats(2 + 2 * weights + i, {out(call, i), width}); }
};

/** x and others [rows·groups·size] of one type, weight float32 [groups·size]. Numbers: rows, groups, size, eps. */
struct NormArguments {
  int64_t rows, groups, size, width;
  float eps;
  Reals x;
  const float *weight;

  explicit NormArguments(Call &call)
      : rows(call.dimension(0)), groups(call.dimension(1)), size(call.dimension(2)), width(Call::product({groups, size})),
        eps(call.real(3)), x(realsOf(call, 0, {rows, width})), weight(call.floats(1, width)) {}
};

/** Buffers: x, weight, y. */
struct RmsNormArguments : NormArguments {
  void *y;
  explicit RmsNormArguments(Call &call) : NormArguments(call), y(call.reals(2, {rows, width})) { call.sameType({0, 2}); }
};

/** Buffers: x, weight, dy, dx, dWeight float32. */
struct RmsNormGradArguments : NormArguments {
  void *dy, *dx;
  float *dWeight;
  explicit RmsNormGradArguments(Call &call)
      : NormArguments(call), dy(call.reals(2, {rows, width})), dx(call.reals(3, {rows, width})), dWeight(call.floats(4, width)) {
    call.sameType({0, 2, 3});
  }
};

/** Rows and others [rows·size] of one type, weight float32 [size]. Numbers: rows, size, eps. */
struct ResidualArguments {
  int64_t rows, size;
  float eps;

  explicit ResidualArguments(Call &call) : rows(call.dimension(0)), size(call.dimension(1)), eps(call.real(2)) {}
  void *rowsOf(Call &call, int i) const {
    call.sameType({0, i});
    return call.reals(i, {rows, size});
  }
};

/** Buffers: h, out, weight, next, x: next = h + out, x = rmsNorm(next). */
struct ResidualStepArguments : ResidualArguments {
  Reals h;
  void *out;
  const float *weight;
  void *next, *x;
  explicit ResidualStepArguments(Call &call)
      : ResidualArguments(call), h(realsOf(call, 0, {rows, size})), out(rowsOf(call, 1)), weight(call.floats(2, size)),
        next(rowsOf(call, 3)), x(rowsOf(call, 4)) {}
};

/** Buffers: next, weight, dNext, dx, dh, dWeight float32: dh, the gradient of h and of out, is dNext + that of next by the norm. */
struct ResidualStepGradArguments : ResidualArguments {
  Reals next;
  const float *weight;
  void *dNext, *dx, *dh;
  float *dWeight;
  explicit ResidualStepGradArguments(Call &call)
      : ResidualArguments(call), next(realsOf(call, 0, {rows, size})), weight(call.floats(1, size)), dNext(rowsOf(call, 2)),
        dx(rowsOf(call, 3)), dh(rowsOf(call, 4)), dWeight(call.floats(5, size)) {}
};

/** Buffers: hidden [N·D], weight [V·D], targets int32 [N], …. Numbers: N, D, V, ignoreIndex, halves. */
struct CrossEntropyArguments {
  int64_t N, D, V, ignore;
  bool halves;
  Reals hidden, weight;
  const int32_t *targets;

  explicit CrossEntropyArguments(Call &call)
      : N(call.dimension(0)), D(call.dimension(1)), V(call.dimension(2)), ignore(call.integer(3)), halves(call.integer(4) != 0),
        hidden(realsOf(call, 0, {N, D})), weight(realsOf(call, 1, {V, D})), targets(call.integers(2, N)) {}

  const char *problem() const { return N > 0 && V < 1 ? "a vocabulary of no words has no cross-entropy" : nullptr; }
};

/** …, losses float32 [N], logSumExp float32 [N]. */
struct LinearCrossEntropyArguments : CrossEntropyArguments {
  float *losses, *logSumExp;
  explicit LinearCrossEntropyArguments(Call &call)
      : CrossEntropyArguments(call), losses(call.floats(3, N)), logSumExp(call.floats(4, N)) {}
};

/** …, logSumExp float32 [N], dy float32 [N], dHidden [N·D], dWeight float32 [V·D]. */
struct LinearCrossEntropyGradArguments : CrossEntropyArguments {
  const float *logSumExp, *dy;
  Reals dHidden;
  float *dWeight;
  explicit LinearCrossEntropyGradArguments(Call &call)
      : CrossEntropyArguments(call), logSumExp(call.floats(3, N)), dy(call.floats(4, N)), dHidden(realsOf(call, 5, {N, D})),
        dWeight(call.floats(6, {V, D})) {}
};

/** …, loss float32 [1], dHidden [N·D], dWeight float32 [V·D]. */
struct MeanCrossEntropyArguments : CrossEntropyArguments {
  float *loss;
  Reals dHidden;
  float *dWeight;
  explicit MeanCrossEntropyArguments(Call &call)
      : CrossEntropyArguments(call), loss(call.floats(3, 1)), dHidden(realsOf(call, 4, {N, D})), dWeight(call.floats(5, {V, D})) {}
};

/** Buffers: table [rows·width], ids int32 [count], y [count·width]. Numbers: rows, width, count. */
struct EmbeddingArguments {
  int64_t rows, width, count;
  Reals table;
  const int32_t *ids;
  Reals y;
  explicit EmbeddingArguments(Call &call)
      : rows(call.dimension(0)), width(call.dimension(1)), count(call.dimension(2)), table(realsOf(call, 0, {rows, width})),
        ids(call.integers(1, count)), y(realsOf(call, 2, {count, width})) {}
};

/** Buffers: ids int32 [count], dy [count·width], dTable float32 [rows·width]. Numbers: rows, width, count. */
struct EmbeddingGradArguments {
  int64_t rows, width, count;
  const int32_t *ids;
  Reals dy;
  float *dTable;
  explicit EmbeddingGradArguments(Call &call)
      : rows(call.dimension(0)), width(call.dimension(1)), count(call.dimension(2)), ids(call.integers(0, count)),
        dy(realsOf(call, 1, {count, width})), dTable(call.floats(2, {rows, width})) {}
};

/**
 * Rows of x by group, each group with weights of its own. Buffers: offsets int32 [E + 1], x [R·K], the weights [out_s·K]
 * of every set s, E each, and what the structs below say. Numbers: R, K, E, halves, then out_s of every set.
 */
struct GroupedArguments {
  int64_t rows, width, groups;
  bool halves;
  int64_t sets;
  const int32_t *offsets = nullptr;
  Reals x{};

  int64_t weights() const { return sets * groups; }
  int64_t out(Call &call, int64_t set) const { return call.dimension(4 + static_cast<int>(set)); }
  Reals weight(Call &call, int64_t set, int64_t group) const {
    return matrixOf(call, 2 + set * groups + group, out(call, set));
  }
  const char *problem() const { return problem_; }

 protected:
  /** `extra` buffers besides those above, `ofSet` for each set, `ofWeight` for each weight. */
  GroupedArguments(Call &call, int64_t extra, int64_t ofSet, int64_t ofWeight)
      : rows(call.dimension(0)), width(call.dimension(1)), groups(call.dimension(2)), halves(call.integer(3) != 0),
        sets(call.numbers() - 4) {
    const bool some = groups > 0 && groups < call.buffers() && sets > 0;
    if (!some || call.buffers() != 2 + extra + ofSet * sets + (1 + ofWeight) * weights())
      problem_ = "grouped_linear: offsets, x, a weight for each group and set, and results for each are needed";
    else offsets = call.integers(0, groups + 1), x = realsOf(call, 1, {rows, width});
  }
  /** Buffer `at` of [size, K]. */
  Reals matrixOf(Call &call, int64_t at, int64_t size) const { return realsOf(call, static_cast<int>(at), {size, width}); }
  /** Buffer `at` of [R, out_s]. */
  Reals resultOf(Call &call, int64_t at, int64_t set) const {
    return realsOf(call, static_cast<int>(at), {rows, out(call, set)});
  }

 private:
  const char *problem_ = nullptr;
};

/** …, y [R·out_s] for each set: y = x Wᵀ. */
struct GroupedLinearArguments : GroupedArguments {
  explicit GroupedLinearArguments(Call &call) : GroupedArguments(call, 0, 1, 0) {}
  Reals y(Call &call, int64_t set) const { return resultOf(call, 2 + weights() + set, set); }
};

/** …, dy [R·out_s] for each set, dx [R·K], dW float32 [out_s·K] for each weight. */
struct GroupedLinearGradArguments : GroupedArguments {
  Reals dx{};
  explicit GroupedLinearGradArguments(Call &call) : GroupedArguments(call, 1, 1, 1) {
    if (!problem()) dx = matrixOf(call, 2 + weights() + sets, rows);
  }
  Reals dy(Call &call, int64_t set) const { return resultOf(call, 2 + weights() + set, set); }
  float *dWeight(Call &call, int64_t set, int64_t group) const {
    return call.floats(static_cast<int>(3 + weights() + sets + set * groups + group), {out(call, set), width});
  }
};

/** N tokens, E experts, k experts a token; R = N·k rows. Numbers: N, E, k. */
struct RoutingArguments {
  int64_t tokens, experts, k;
  explicit RoutingArguments(Call &call) : tokens(call.dimension(0)), experts(call.dimension(1)), k(call.dimension(2)) {}
  const char *problem() const {
    return k > 0 && k <= experts ? nullptr : "route_tokens: a token goes to one expert at least, and to each at most once";
  }
};

/**
 * Buffers: logits [N·E], probabilities float32 [N·E], weights float32 [R], tokenOf, rows int32 [R], offsets int32 [E + 1],
 * shares float32 [E].
 */
struct RouteTokensArguments : RoutingArguments {
  Reals logits;
  float *probabilities, *weights;
  int32_t *tokenOf, *rows, *offsets;
  float *shares;
  explicit RouteTokensArguments(Call &call)
      : RoutingArguments(call), logits(realsOf(call, 0, {tokens, experts})),
        probabilities(call.floats(1, {tokens, experts})), weights(call.floats(2, {tokens, k})),
        tokenOf(call.integers(3, Call::product({tokens, k}))), rows(call.integers(4, Call::product({tokens, k}))),
        offsets(call.integers(5, experts + 1)), shares(call.floats(6, experts)) {}
};

/**
 * Buffers: probabilities float32 [N·E], rows int32 [R], offsets int32 [E + 1], dProbabilities float32 [N·E], dWeights
 * float32 [R], dLogits [N·E].
 */
struct RouteTokensGradArguments : RoutingArguments {
  const float *probabilities;
  const int32_t *rows, *offsets;
  const float *dProbabilities, *dWeights;
  Reals dLogits;
  explicit RouteTokensGradArguments(Call &call)
      : RoutingArguments(call), probabilities(call.floats(0, {tokens, experts})),
        rows(call.integers(1, Call::product({tokens, k}))), offsets(call.integers(2, experts + 1)),
        dProbabilities(call.floats(3, {tokens, experts})), dWeights(call.floats(4, {tokens, k})),
        dLogits(realsOf(call, 5, {tokens, experts})) {}
};

}  // namespace VWN_ISA
}  // namespace vwn
