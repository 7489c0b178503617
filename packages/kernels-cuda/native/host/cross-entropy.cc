/**
 * Cross-entropy straight from hidden rows and the unembedding: logits are made for a chunk of rows at a time, and again
 * in the backward pass, where their gradient takes their place. Kernels in device/cross-entropy.cu and matmul.cu.
 */
#include "../problem.h"
#include "functions.h"
#include "gemm.h"

namespace vwn {
namespace VWN_ISA {
namespace {

constexpr int64_t leastRows = 64, mostBlocks = 65536;

int64_t chunkOf(int64_t N, int64_t V) {
  const int64_t fitting = chunkBytes() / (4 * (V < 1 ? 1 : V)), chunk = fitting < leastRows ? leastRows : fitting;
  return chunk < N ? chunk : N;
}

/** Reals [N, D] from a row on. */
Reals rowsFrom(const Reals &all, int64_t first, int64_t D) {
  return {static_cast<char *>(all.data) + first * D * (all.type == VWN_BF16 ? 2 : 4), all.type};
}

/** The weight, transposed, for all chunks. */
Matrix unembeddingOf(const CrossEntropyArguments &in) {
  return roundedFor(in.halves, matrix(in.weight, in.D, true), in.V, Slot::weight);
}

}  // namespace

/** See LinearCrossEntropyArguments. */
const char *linear_cross_entropy(const vwn_call *raw) {
  Call call(raw, 5, 5);
  const LinearCrossEntropyArguments in(call);
  if (call.problem()) return call.problem();
  if (const char *problem = in.problem()) return problem;
  const int64_t chunk = chunkOf(in.N, in.V);
  float *logits = static_cast<float *>(scratch(Slot::rows, chunk * in.V * 4 + 4));
  const Matrix unembedding = unembeddingOf(in);
  for (int64_t first = 0; first < in.N; first += chunk) {
    const int64_t rows = in.N - first < chunk ? in.N - first : chunk;
    gemm(product(rows, in.V, in.D, matrix(rowsFrom(in.hidden, first, in.D), in.D, false), unembedding, {logits, VWN_F32},
                 in.halves));
    const float *x = logits;
    launch("rowLoss_f32", {rows < mostBlocks ? rows : mostBlocks}, 256, 128, x, in.targets + first, in.losses + first,
           in.logSumExp + first, rows, in.V, in.ignore, problemFlag(Problem::target));
  }
  return nullptr;
}

/** See LinearCrossEntropyGradArguments. */
const char *linear_cross_entropy_grad(const vwn_call *raw) {
  Call call(raw, 7, 5);
  const LinearCrossEntropyGradArguments in(call);
  if (call.problem()) return call.problem();
  if (in.N == 0) zero(in.dWeight, in.V * in.D * 4);
  const int64_t chunk = chunkOf(in.N, in.V);
  float *logits = static_cast<float *>(scratch(Slot::rows, chunk * in.V * 4 + 4));
  const Reals gradient{logits, VWN_F32}, dWeight{in.dWeight, VWN_F32};
  const Matrix unembedding = unembeddingOf(in);
  Matrix weight = unembedding;
  weight.transposed = 0;
  for (int64_t first = 0; first < in.N; first += chunk) {
    const int64_t rows = in.N - first < chunk ? in.N - first : chunk;
    const Matrix h = matrix(rowsFrom(in.hidden, first, in.D), in.D, false);
    gemm(product(rows, in.V, in.D, h, unembedding, gradient, in.halves));
    launch("rowLossGrad_f32", {rows < mostBlocks ? rows : mostBlocks}, 256, 0, logits, in.targets + first,
           in.logSumExp + first, in.dy + first, rows, in.V, in.ignore, problemFlag(Problem::target));
    // Rounded once for both.
    Matrix g = roundedFor(in.halves, matrix(gradient, in.V, false), rows, Slot::packed);
    gemm(product(rows, in.D, in.V, g, weight, rowsFrom(in.dHidden, first, in.D), in.halves));
    g.transposed = 1;
    gemm(product(in.V, in.D, rows, g, h, dWeight, in.halves, first > 0));
  }
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
