/**
 * Cross-entropy straight from hidden rows and the unembedding. Forward: blocks of logits are reduced to a maximum, a
 * sum and the target's logit while they are in cache; none is stored. Backward: logits again, in chunks of rows.
 */
#include <array>
#include <vector>

#include "../workspace.h"
#include "call.h"
#include "gemm.h"
#include "kernels.h"
#include "rows.h"
#include "vwn_arguments.h"

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

/** See LinearCrossEntropyArguments. */
const char *linear_cross_entropy(const vwn_call *raw) {
  Call call(raw, 5, 5);
  const LinearCrossEntropyArguments in(call);
  if (call.problem()) return call.problem();
  if (const char *problem = checkTargets(in.targets, in.N, in.V, in.ignore)) return problem;
  if (const char *problem = in.problem()) return problem;
  const int64_t tasks = columnTasksOf(in.V);
  Partial *partials = static_cast<Partial *>(sharedScratch(Slot::partial, in.N * tasks * static_cast<int64_t>(sizeof(Partial))));
  if (!partials) return outOfMemory;
  const Forward context{in.targets, partials, tasks};
  const Operand hidden{in.hidden.data, in.hidden.type, in.D, false}, weight{in.weight.data, in.weight.type, in.D, true};
  const Product product{in.N, in.V, in.D, hidden, weight, nullptr, VWN_F32, in.V, false, in.halves};
  if (!gemmInto(product, forwardBlock, &context)) return outOfMemory;
  for (int64_t i = 0; i < in.N; i++) {
    float target;
    combine(partials + i * tasks, tasks, in.logSumExp[i], target);
    in.losses[i] = in.targets[i] == in.ignore ? 0.0f : in.logSumExp[i] - target;
  }
  return nullptr;
}

/** See LinearCrossEntropyGradArguments. */
const char *linear_cross_entropy_grad(const vwn_call *raw) {
  Call call(raw, 7, 5);
  const LinearCrossEntropyGradArguments in(call);
  if (call.problem()) return call.problem();
  if (const char *problem = checkTargets(in.targets, in.N, in.V, in.ignore)) return problem;
  const auto [N, D, V] = std::array{in.N, in.D, in.V};
  const int32_t type = in.halves ? VWN_BF16 : VWN_F32;
  const int64_t bytes = in.halves ? 2 : 4, fitting = chunkBytes / (bytes * (V < 1 ? 1 : V));
  const int64_t chunk = fitting < 64 ? 64 : fitting;
  void *dLogits = sharedScratch(Slot::lanes, (chunk < N ? chunk : N) * V * bytes + 64);
  if (!dLogits) return outOfMemory;
  if (N == 0) std::memset(in.dWeight, 0, static_cast<size_t>(V * D) * 4);
  const int64_t ofHidden = in.hidden.type == VWN_BF16 ? 2 : 4, ofGradient = in.dHidden.type == VWN_BF16 ? 2 : 4;
  for (int64_t first = 0; first < N; first += chunk) {
    const int64_t rows = N - first < chunk ? N - first : chunk;
    const Operand h{static_cast<const char *>(in.hidden.data) + first * D * ofHidden, in.hidden.type, D, false};
    const Operand g{dLogits, type, V, false};
    const Backward context{in.targets + first, in.logSumExp + first, in.dy + first, dLogits, V, in.ignore};
    const Product logits{rows, V, D, h, {in.weight.data, in.weight.type, D, true}, nullptr, VWN_F32, V, false, in.halves};
    const Product toHidden{rows, D, V, g, {in.weight.data, in.weight.type, D, false},
                           static_cast<char *>(in.dHidden.data) + first * D * ofGradient, in.dHidden.type, D, false, in.halves};
    const Product toWeight{V, D, rows, {dLogits, type, V, true}, h, in.dWeight, VWN_F32, D, first > 0, in.halves};
    const bool done = gemmInto(logits, in.halves ? backwardBlock<bf16> : backwardBlock<float>, &context) && gemm(toHidden);
    if (!done || !gemm(toWeight)) return outOfMemory;
  }
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
