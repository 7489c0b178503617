/**
 * Cross-entropy straight from hidden rows and the unembedding: logits are made for a chunk of rows at a time, and again
 * in the backward pass, where their gradient takes their place. Kernels in device/cross-entropy.cu and matmul.cu.
 */
#include "../problem.h"
#include "functions.h"
#include "gemm.h"
#include "vwn_call.h"

namespace vwn {
namespace VWN_ISA {
namespace {

/** Bytes of logits that one chunk may take. */
constexpr int64_t chunkBytes = int64_t{64} << 20;
constexpr int64_t leastRows = 64, mostBlocks = 65536;

int64_t chunkOf(int64_t N, int64_t V) {
  const int64_t fitting = chunkBytes / (4 * (V < 1 ? 1 : V)), chunk = fitting < leastRows ? leastRows : fitting;
  return chunk < N ? chunk : N;
}

/** hidden [N, D] from a row on. */
Matrix rowsFrom(const void *hidden, int32_t type, int64_t first, int64_t D) {
  const int64_t bytes = type == VWN_BF16 ? 2 : 4;
  return matrix(static_cast<const char *>(hidden) + first * D * bytes, type, D, false);
}

}  // namespace

/**
 * Buffers: hidden [N·D], weight [V·D], targets int32 [N], losses float32 [N], logSumExp float32 [N].
 * Numbers: N, D, V, ignoreIndex, halves.
 */
const char *linear_cross_entropy(const vwn_call *raw) {
  Call call(raw, 5, 5);
  const int64_t N = call.dimension(0), D = call.dimension(1), V = call.dimension(2), ignore = call.integer(3);
  const void *hidden = call.reals(0, {N, D}), *weight = call.reals(1, {V, D});
  const int32_t *targets = call.integers(2, N);
  float *losses = call.floats(3, N), *logSumExp = call.floats(4, N);
  if (call.problem()) return call.problem();
  if (N > 0 && V < 1) return "a vocabulary of no words has no cross-entropy";
  const int64_t chunk = chunkOf(N, V);
  float *logits = static_cast<float *>(scratch(Slot::rows, chunk * V * 4 + 4));
  for (int64_t first = 0; first < N; first += chunk) {
    const int64_t rows = N - first < chunk ? N - first : chunk;
    gemm(product(rows, V, D, rowsFrom(hidden, call.type(0), first, D), matrix(weight, call.type(1), D, true), logits, VWN_F32,
                 call.integer(4) != 0));
    const float *x = logits;
    launch("rowLoss_f32", {rows < mostBlocks ? rows : mostBlocks}, 256, 128, x, targets + first, losses + first,
           logSumExp + first, rows, V, ignore, problemFlag(Problem::target));
  }
  return nullptr;
}

/**
 * Buffers: hidden [N·D], weight [V·D], targets int32 [N], logSumExp float32 [N], dy float32 [N], dHidden [N·D],
 * dWeight float32 [V·D]. Numbers: N, D, V, ignoreIndex, halves.
 */
const char *linear_cross_entropy_grad(const vwn_call *raw) {
  Call call(raw, 7, 5);
  const int64_t N = call.dimension(0), D = call.dimension(1), V = call.dimension(2), ignore = call.integer(3);
  const bool halves = call.integer(4) != 0;
  const void *hidden = call.reals(0, {N, D}), *weight = call.reals(1, {V, D});
  const int32_t *targets = call.integers(2, N);
  const float *logSumExp = call.floats(3, N), *dy = call.floats(4, N);
  void *dHidden = call.reals(5, {N, D});
  float *dWeight = call.floats(6, {V, D});
  if (call.problem()) return call.problem();
  if (N == 0) zero(dWeight, V * D * 4);
  const int64_t chunk = chunkOf(N, V), bytes = call.type(5) == VWN_BF16 ? 2 : 4;
  float *logits = static_cast<float *>(scratch(Slot::rows, chunk * V * 4 + 4));
  for (int64_t first = 0; first < N; first += chunk) {
    const int64_t rows = N - first < chunk ? N - first : chunk;
    const Matrix h = rowsFrom(hidden, call.type(0), first, D);
    gemm(product(rows, V, D, h, matrix(weight, call.type(1), D, true), logits, VWN_F32, halves));
    launch("rowLossGrad_f32", {rows < mostBlocks ? rows : mostBlocks}, 256, 0, logits, targets + first, logSumExp + first,
           dy + first, rows, V, ignore, problemFlag(Problem::target));
    gemm(product(rows, D, V, matrix(logits, VWN_F32, V, false), matrix(weight, call.type(1), D, false),
                 static_cast<char *>(dHidden) + first * D * bytes, call.type(5), halves));
    gemm(product(V, D, rows, matrix(logits, VWN_F32, V, true), h, dWeight, VWN_F32, halves, first > 0));
  }
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
