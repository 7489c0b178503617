/**
 * Cross-entropy straight from hidden rows and the unembedding. Forward: blocks of logits are reduced to a maximum, a
 * sum and the target's logit while they are in cache; none is stored. Backward: logits again, in chunks of rows.
 */
#include <vector>

#include "../workspace.h"
#include "call.h"
#include "gemm.h"
#include "kernels.h"
#include "rows.h"

namespace vwn {
namespace VWN_ISA {
namespace {

/** Of one row and one block of columns. */
struct Partial {
  float largest, sum, target;
};

struct Forward {
  const int32_t *targets;
  Partial *partials; /* [N, column tasks] */
  int64_t tasks;
};

Partial reduceRow(const float *logits, int64_t columns, int64_t target) {
  vf top = splat(-INFINITY);
  vf nan = {};
  const auto see = [&](vf x) {
    top = vmax(x, top);
    nan += x - x;  // NaN once any logit is NaN or infinite
  };
  eachVector(
      columns, [&](int64_t j) { see(load(logits + j)); },
      [&](int64_t j, int64_t n) {
        for (int64_t i = 0; i < n; i++) see(splat(logits[j + i]));
      });
  const float largest = maxLanes(top);
  vf total = nan;
  eachVector(
      columns, [&](int64_t j) { total += vexp(load(logits + j) - largest); },
      [&](int64_t j, int64_t n) {
        vf e = vexp(loadFirst(logits + j, n) - largest);
        for (int i = 0; i < W; i++)
          if (i >= n) e[i] = 0;
        total += e;
      });
  return {largest, sumLanes(total), target >= 0 && target < columns ? logits[target] : 0.0f};
}

void forwardBlock(const void *context, const BlockOfC &block) {
  const Forward &f = *static_cast<const Forward *>(context);
  for (int64_t i = 0; i < block.rows; i++) {
    const int64_t row = block.row + i;
    f.partials[row * f.tasks + block.columnTask] =
        reduceRow(block.sums + i * block.ld, block.columns, f.targets[row] - block.column);
  }
}

/** log Σ exp and the target's logit of a whole row. */
void combine(const Partial *partials, int64_t tasks, float &logSumExp, float &target) {
  float largest = partials[0].largest, sum = 0;
  target = 0;
  for (int64_t t = 1; t < tasks; t++) largest = partials[t].largest > largest ? partials[t].largest : largest;
  for (int64_t t = 0; t < tasks; t++) {
    sum += partials[t].sum * std::exp(partials[t].largest - largest);
    target += partials[t].target;
  }
  logSumExp = largest + std::log(sum);
}

const char *checkTargets(const int32_t *targets, int64_t N, int64_t V, int64_t ignore) {
  for (int64_t i = 0; i < N; i++)
    if (targets[i] != ignore && (targets[i] < 0 || targets[i] >= V))
      return "a target is outside the vocabulary: targets must be 0 … V − 1 or the ignored index";
  return nullptr;
}

struct Backward {
  const int32_t *targets;
  const float *logSumExp, *dy;
  void *dLogits; /* [chunk, V] float32 or bf16 */
  int64_t V, ignore;
};

template <class T>
void backwardBlock(const void *context, const BlockOfC &block) {
  const Backward &b = *static_cast<const Backward *>(context);
  for (int64_t i = 0; i < block.rows; i++) {
    const int64_t row = block.row + i, target = b.targets[row] - block.column;
    T *out = static_cast<T *>(b.dLogits) + row * b.V + block.column;
    const float *logits = block.sums + i * block.ld;
    const float scale = b.targets[row] == b.ignore ? 0.0f : b.dy[row];
    const vf shift = splat(b.logSumExp[row]), factor = splat(scale);
    eachVector(
        block.columns, [&](int64_t j) { store(out + j, vexp(load(logits + j) - shift) * factor); },
        [&](int64_t j, int64_t n) { storeFirst(out + j, vexp(loadFirst(logits + j, n) - shift) * factor, n); });
    if (target >= 0 && target < block.columns)
      fromFloat(out + target, (std::exp(logits[target] - b.logSumExp[row]) - 1.0f) * scale);
  }
}

/** Bytes of dLogits that one chunk may take. */
constexpr int64_t chunkBytes = int64_t{16} << 20;

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
  if (const char *problem = checkTargets(targets, N, V, ignore)) return problem;
  if (N > 0 && V < 1) return "a vocabulary of no words has no cross-entropy";
  const int64_t tasks = columnTasksOf(V);
  Partial *partials = static_cast<Partial *>(sharedScratch(Slot::partial, N * tasks * static_cast<int64_t>(sizeof(Partial))));
  if (!partials) return outOfMemory;
  const Forward context{targets, partials, tasks};
  const Product product{N, V, D, {hidden, call.type(0), D, false}, {weight, call.type(1), D, true}, nullptr, VWN_F32, V,
                        false, call.integer(4) != 0};
  if (!gemmInto(product, forwardBlock, &context)) return outOfMemory;
  for (int64_t i = 0; i < N; i++) {
    float target;
    combine(partials + i * tasks, tasks, logSumExp[i], target);
    losses[i] = targets[i] == ignore ? 0.0f : logSumExp[i] - target;
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
  if (const char *problem = checkTargets(targets, N, V, ignore)) return problem;
  const int32_t type = halves ? VWN_BF16 : VWN_F32;
  const int64_t bytes = halves ? 2 : 4, fitting = chunkBytes / (bytes * (V < 1 ? 1 : V));
  const int64_t chunk = fitting < 64 ? 64 : fitting;
  void *dLogits = sharedScratch(Slot::lanes, (chunk < N ? chunk : N) * V * bytes + 64);
  if (!dLogits) return outOfMemory;
  if (N == 0) std::memset(dWeight, 0, static_cast<size_t>(V * D) * 4);
  const int64_t ofHidden = call.type(0) == VWN_BF16 ? 2 : 4, ofGradient = call.type(5) == VWN_BF16 ? 2 : 4;
  for (int64_t first = 0; first < N; first += chunk) {
    const int64_t rows = N - first < chunk ? N - first : chunk;
    const Operand h{static_cast<const char *>(hidden) + first * D * ofHidden, call.type(0), D, false};
    const Operand g{dLogits, type, V, false};
    const Backward context{targets + first, logSumExp + first, dy + first, dLogits, V, ignore};
    const Product logits{rows, V, D, h, {weight, call.type(1), D, true}, nullptr, VWN_F32, V, false, halves};
    const Product toHidden{rows, D, V, g, {weight, call.type(1), D, false},
                           static_cast<char *>(dHidden) + first * D * ofGradient, call.type(5), D, false, halves};
    const Product toWeight{V, D, rows, {dLogits, type, V, true}, h, dWeight, VWN_F32, D, first > 0, halves};
    if (!gemmInto(logits, halves ? backwardBlock<bf16> : backwardBlock<float>, &context) || !gemm(toHidden) || !gemm(toWeight))
      return outOfMemory;
  }
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
