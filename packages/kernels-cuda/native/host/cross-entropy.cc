/**
 * Cross-entropy straight from hidden rows and the unembedding: logits are made for a chunk of rows at a time, and again
 * in a backward pass of its own. Kernels in device/cross-entropy.cu; products by gemm.cc.
 */
#include <algorithm>
#include <string>

#include "../problem.h"
#include "functions.h"
#include "gemm.h"
#include "parts.h"

namespace vwn {
namespace VWN_ISA {
namespace {

constexpr int64_t leastRows = 64, mostBlocks = 65536;

/** Rows of a chunk: chunks are even, for each reads the unembedding, and adds to all of its gradient. */
int64_t chunkOf(int64_t N, int64_t V) {
  const int64_t leasts = std::max<int64_t>(chunkBytes() / (4 * leastRows * std::max<int64_t>(V, 1)), 1);
  const int64_t chunks = std::max<int64_t>((N + leasts * leastRows - 1) / (leasts * leastRows), 1);
  const int64_t even = (N + chunks - 1) / chunks;
  return std::min((even + leastRows - 1) / leastRows * leastRows, N);
}

/** Reals [N, D] from a row on. */
Reals rowsFrom(const Reals &all, int64_t first, int64_t D) {
  return {static_cast<char *>(all.data) + first * D * (all.type == VWN_BF16 ? 2 : 4), all.type};
}

/** The weight, transposed, for all chunks. */
Matrix unembeddingOf(const CrossEntropyArguments &in) {
  return roundedFor(in.halves, matrix(in.weight, in.D, true), in.V, Slot::weight);
}

/** All chunks of rows: their logits, and what is made of them. */
class Chunks {
 public:
  explicit Chunks(const CrossEntropyArguments &in)
      : in_(in), size_(chunkOf(in.N, in.V)), logits_(static_cast<float *>(scratch(Slot::rows, size_ * in.V * 4 + 4))),
        unembedding_(unembeddingOf(in)) {}

  /** body(first row, rows) once the logits of these rows are there. */
  template <class Body>
  void each(const Body &body) const {
    for (int64_t first = 0; first < in_.N; first += size_) {
      const int64_t rows = in_.N - first < size_ ? in_.N - first : size_;
      gemm(product(rows, in_.V, in_.D, hidden(first), unembedding_, {logits_, VWN_F32}, in_.halves));
      body(first, rows);
    }
  }

  void losses(int64_t first, int64_t rows, float *losses, float *logSumExp) const {
    const float *x = logits_;
    launch("rowLoss_f32", gridOf(rows), 256, 128, x, in_.targets + first, losses, logSumExp, rows, in_.V, in_.ignore,
           problemFlag(Problem::target));
  }

  /** From the logits, dHidden and dWeight; `dy` of these rows. */
  void gradients(int64_t first, int64_t rows, const float *logSumExp, const float *dy, const Reals &dHidden, float *dWeight) const {
    const float *x = logits_;
    withGradient([&](const char *suffix, auto *to) {
      launch(std::string("rowLossGrad") + suffix, gridOf(rows), 256, 0, x, to, in_.targets + first, logSumExp, dy, rows, in_.V, in_.ignore,
             problemFlag(Problem::target));
    });
    backward(first, rows, dHidden, dWeight);
  }
  /** Losses too, each of which has the gradient `share`. */
  void lossesAndGradients(int64_t first, int64_t rows, float *losses, float share, const Reals &dHidden, float *dWeight) const {
    const float *x = logits_;
    withGradient([&](const char *suffix, auto *to) {
      launch(std::string("rowLossAndGrad") + suffix, gridOf(rows), 256, 128, x, to, in_.targets + first, losses, share, rows, in_.V,
             in_.ignore, problemFlag(Problem::target));
    });
    backward(first, rows, dHidden, dWeight);
  }

 private:
  /** Of the logits: rounded once for both products, beside them, or else in their place. */
  Reals gradient() const {
    if (in_.halves) return {scratch(Slot::packed, size_ * in_.V * 2), VWN_BF16};
    return {logits_, VWN_F32};
  }
  /** make(suffix of a kernel's name, where to) */
  template <class Make>
  void withGradient(const Make &make) const {
    const Reals to = gradient();
    if (in_.halves) make("_bf16", static_cast<bf16 *>(to.data));
    else make("_f32", static_cast<float *>(to.data));
  }
  void backward(int64_t first, int64_t rows, const Reals &dHidden, float *dWeight) const {
    Matrix g = matrix(gradient(), in_.V, false), weight = unembedding_;
    weight.transposed = 0;
    gemm(product(rows, in_.D, in_.V, g, weight, rowsFrom(dHidden, first, in_.D), in_.halves));
    g.transposed = 1;
    gemm(product(in_.V, in_.D, rows, g, hidden(first), {dWeight, VWN_F32}, in_.halves, first > 0));
  }
  static Grid gridOf(int64_t rows) { return {rows < mostBlocks ? rows : mostBlocks}; }
  Matrix hidden(int64_t first) const { return matrix(rowsFrom(in_.hidden, first, in_.D), in_.D, false); }

  const CrossEntropyArguments &in_;
  int64_t size_;
  float *logits_;
  Matrix unembedding_;
};

}  // namespace

/** See LinearCrossEntropyArguments. */
const char *linear_cross_entropy(const vwn_call *raw) {
  Call call(raw, 5, 5);
  const LinearCrossEntropyArguments in(call);
  if (call.problem()) return call.problem();
  if (const char *problem = in.problem()) return problem;
  const Chunks chunks(in);
  chunks.each([&](int64_t first, int64_t rows) { chunks.losses(first, rows, in.losses + first, in.logSumExp + first); });
  return nullptr;
}

/** See LinearCrossEntropyGradArguments. */
const char *linear_cross_entropy_grad(const vwn_call *raw) {
  Call call(raw, 7, 5);
  const LinearCrossEntropyGradArguments in(call);
  if (call.problem()) return call.problem();
  if (in.N == 0) zero(in.dWeight, in.V * in.D * 4);
  const Chunks chunks(in);
  chunks.each([&](int64_t first, int64_t rows) {
    chunks.gradients(first, rows, in.logSumExp + first, in.dy + first, in.dHidden, in.dWeight);
  });
  return nullptr;
}

/** See MeanCrossEntropyArguments. */
const char *mean_cross_entropy(const vwn_call *raw) {
  Call call(raw, 6, 5);
  const MeanCrossEntropyArguments in(call);
  if (call.problem()) return call.problem();
  if (const char *problem = in.problem()) return problem;
  if (in.N == 0) zero(in.dWeight, in.V * in.D * 4);
  float *losses = static_cast<float *>(scratch(Slot::losses, in.N * 4 + 4));
  const float share = 1.0f / static_cast<float>(in.N);
  const Chunks chunks(in);
  chunks.each([&](int64_t first, int64_t rows) {
    chunks.lossesAndGradients(first, rows, losses + first, share, in.dHidden, in.dWeight);
  });
  sumRows(forType("sumRows", VWN_F32), static_cast<const float *>(losses), 1, in.N, in.loss, share);
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
