/**
 * Cross-entropy straight from hidden rows and the unembedding. Forward: blocks of logits are reduced to a maximum, a
 * sum and the target's logit while they are in cache; none is stored. Backward: logits again, in chunks of rows.
 */
#include "cross-entropy.h"
#include "kernels.h"

namespace vwn {
namespace VWN_ISA {
namespace {

struct Forward {
  const int32_t *targets;
  Partial *partials; /* [N, column tasks] */
  int64_t tasks;
};

void forwardBlock(const void *context, const BlockOfC &block) {
  const Forward &f = *static_cast<const Forward *>(context);
  for (int64_t i = 0; i < block.rows; i++) {
    const int64_t row = block.row + i;
    f.partials[row * f.tasks + block.columnTask] =
        reduceRow(block.sums + i * block.ld, block.columns, f.targets[row] - block.column, [](int64_t, vf, int64_t) {});
  }
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

}  // namespace

/** See LinearCrossEntropyArguments. */
const char *linear_cross_entropy(const vwn_call *raw) {
  Call call(raw, 5, 5);
  const LinearCrossEntropyArguments in(call);
  if (call.problem()) return call.problem();
  if (const char *problem = checkTargets(call, in.targets, in.N, in.V, in.ignore)) return problem;
  if (const char *problem = in.problem()) return problem;
  const int64_t tasks = columnTasksOf(in.V);
  Partial *partials = static_cast<Partial *>(sharedScratch(Slot::partial, in.N * tasks * static_cast<int64_t>(sizeof(Partial))));
  if (!partials) return outOfMemory;
  const Forward context{in.targets, partials, tasks};
  if (!Chunk(in, 0, in.N, nullptr).logits(forwardBlock, &context)) return outOfMemory;
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
  if (const char *problem = checkTargets(call, in.targets, in.N, in.V, in.ignore)) return problem;
  const int64_t chunk = rowsOfChunk(in);
  void *dLogits = sharedScratch(Slot::lanes, chunk * in.V * (in.halves ? 2 : 4) + 64);
  if (!dLogits) return outOfMemory;
  if (in.N == 0) std::memset(in.dWeight, 0, static_cast<size_t>(in.V * in.D) * 4);
  for (int64_t first = 0; first < in.N; first += chunk) {
    const Chunk rows(in, first, in.N - first < chunk ? in.N - first : chunk, dLogits);
    const Backward context{in.targets + first, in.logSumExp + first, in.dy + first, dLogits, in.V, in.ignore};
    if (!rows.logits(in.halves ? backwardBlock<bf16> : backwardBlock<float>, &context)) return outOfMemory;
    if (!rows.gradients(in.dHidden, in.dWeight)) return outOfMemory;
  }
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
