/**
 * The mean cross-entropy of rows and both of its gradients in one pass. A block of logits becomes exponentials under the
 * block's own largest while it is in cache; once a row's blocks are all there, one factor a block makes softmax of them.
 * So logits are computed once, and so are exponentials.
 */
#include "cross-entropy.h"
#include "kernels.h"

namespace vwn {
namespace VWN_ISA {
namespace {

/** One chunk of rows. */
struct Rows {
  const int32_t *targets;
  Partial *partials; /* [rows, column tasks] */
  int64_t tasks, V, ignore;
  void *values;      /* [rows, V]: exponentials, then the gradient of the logits */
  float share;       /* of one row in the mean */
};

template <class T>
void exponentials(const void *context, const BlockOfC &block) {
  const Rows &r = *static_cast<const Rows *>(context);
  for (int64_t i = 0; i < block.rows; i++) {
    const int64_t row = block.row + i;
    T *to = static_cast<T *>(r.values) + row * r.V + block.column;
    const auto keep = [&](int64_t j, vf e, int64_t count) { count == W ? store(to + j, e) : storeFirst(to + j, e, count); };
    r.partials[row * r.tasks + block.columnTask] =
        reduceRow(block.sums + i * block.ld, block.columns, r.targets[row] - block.column, keep);
  }
}

/** share·(softmax − [target]) in the place of a row's exponentials; returns its loss. */
template <class T>
float gradientOfRow(const Rows &r, int64_t row) {
  const Partial *partials = r.partials + row * r.tasks;
  float logSumExp, atTarget;
  combine(partials, r.tasks, logSumExp, atTarget);
  const int64_t target = r.targets[row];
  const bool counts = target != r.ignore;
  const float scale = counts ? r.share : 0.0f;
  T *values = static_cast<T *>(r.values) + row * r.V;
  for (int64_t task = 0, from = 0; task < r.tasks; task++, from += columnsOfTask()) {
    const int64_t columns = r.V - from < columnsOfTask() ? r.V - from : columnsOfTask();
    const vf factor = splat(std::exp(partials[task].largest - logSumExp) * scale);
    T *each = values + from;
    eachVector(
        columns, [&](int64_t j) { store(each + j, load(each + j) * factor); },
        [&](int64_t j, int64_t n) { storeFirst(each + j, loadFirst(each + j, n) * factor, n); });
  }
  if (!counts) return 0.0f;
  fromFloat(values + target, (std::exp(atTarget - logSumExp) - 1.0f) * r.share);
  return logSumExp - atTarget;
}

template <class T>
bool meanAndGradients(const MeanCrossEntropyArguments &in, int64_t chunk, float *losses, Partial *partials, T *values) {
  const int64_t tasks = columnTasksOf(in.V);
  const float share = 1.0f / static_cast<float>(in.N);
  for (int64_t first = 0; first < in.N; first += chunk) {
    const int64_t rows = in.N - first < chunk ? in.N - first : chunk;
    const Chunk products(in, first, rows, values);
    const Rows each{in.targets + first, partials, tasks, in.V, in.ignore, values, share};
    if (!products.logits(exponentials<T>, &each)) return false;
    parallelRange(rows, leastRows(in.V), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) losses[first + row] = gradientOfRow<T>(each, row);
    });
    if (!products.gradients(in.dHidden, in.dWeight)) return false;
  }
  return true;
}

}  // namespace

/** See MeanCrossEntropyArguments. The mean of no rows is NaN, as tfjs's is. */
const char *mean_cross_entropy(const vwn_call *raw) {
  Call call(raw, 6, 5);
  const MeanCrossEntropyArguments in(call);
  if (call.problem()) return call.problem();
  if (const char *problem = checkTargets(call, in.targets, in.N, in.V, in.ignore)) return problem;
  if (const char *problem = in.problem()) return problem;
  if (in.N == 0) std::memset(in.dWeight, 0, static_cast<size_t>(in.V * in.D) * 4);
  const int64_t chunk = rowsOfChunk(in), partialBytes = chunk * columnTasksOf(in.V) * static_cast<int64_t>(sizeof(Partial));
  void *values = sharedScratch(Slot::lanes, chunk * in.V * (in.halves ? 2 : 4) + 64);
  char *rest = static_cast<char *>(sharedScratch(Slot::partial, partialBytes + in.N * 4 + 64));
  if (!values || !rest) return outOfMemory;
  Partial *partials = reinterpret_cast<Partial *>(rest);
  float *losses = reinterpret_cast<float *>(rest + partialBytes);
  const bool done = in.halves ? meanAndGradients(in, chunk, losses, partials, static_cast<bf16 *>(values))
                              : meanAndGradients(in, chunk, losses, partials, static_cast<float *>(values));
  if (!done) return outOfMemory;
  double sum = 0;
  for (int64_t i = 0; i < in.N; i++) sum += losses[i];
  *in.loss = static_cast<float>(sum / static_cast<double>(in.N));
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
