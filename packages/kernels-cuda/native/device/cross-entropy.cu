/** Cross-entropy of rows of logits, a block a row, and its gradient. */
#include "eights.h"

namespace vwn {
namespace cuda {
namespace {

VWN_DEVICE float blockMaximum(float x, float *room) {
  x = warpMaximum(x);
  __syncthreads();
  if (threadIdx.x % warpSize_ == 0) room[threadIdx.x / warpSize_] = x;
  __syncthreads();
  float most = room[0];
  for (int i = 1; i < static_cast<int>(blockDim.x) / warpSize_; i++) most = fmaxf(most, room[i]);
  return most;
}

/** Rows of V logits, shared out to a block's threads; by eights where all rows begin on 16 bytes. */
struct Logits {
  const float *rows;
  int64_t V;
  bool byEights;

  template <class Body>
  VWN_DEVICE void each(const Body &body) const {
    shareOut(V, byEights, threadIdx.x, blockDim.x, body);
  }
};
/** What is asked of a row: which logit, none for the ignored index. */
struct Words {
  const int32_t *targets;
  int64_t V, ignore;
  int32_t *problem;

  VWN_DEVICE bool isIgnored(int64_t row) const { return targets[row] == ignore; }
  /** A target that is not a word is told of, and ignored. */
  VWN_DEVICE bool hasWord(int64_t row) const {
    const bool isWord = targets[row] >= 0 && targets[row] < V;
    if (!isWord && !isIgnored(row)) tell(problem);
    return isWord && !isIgnored(row);
  }
};

/**
 * log Σ exp(logits), the same in all threads, of logits that are read once: each thread adds up against the largest that it has seen.
 * Infinite logits make NaN, as on vwn-cpu.
 */
VWN_DEVICE float logSumOfRow(const Logits &logits, const float *row, float *room) {
  float most = -INFINITY, sum = 0;
  logits.each([&](int64_t at, auto count) {
    constexpr int n = decltype(count)::value;
    float x[n], next = most;
    load(row + at, x);
#pragma unroll
    for (int i = 0; i < n; i++) next = fmaxf(next, x[i]);
    float added = 0;
#pragma unroll
    for (int i = 0; i < n; i++) added += expf(x[i] - next) + (x[i] - x[i]);
    sum = (sum == 0.0f ? 0.0f : sum * expf(most - next)) + added;
    most = next;
  });
  const float all = blockMaximum(most, room);
  return all + logf(blockSum(sum == 0.0f ? 0.0f : sum * expf(most - all), room));
}

/** to = scale·(softmax(logits) − [target]), of which each thread writes what it reads. */
template <class T>
VWN_DEVICE void gradientOfRow(const Logits &logits, const float *row, int64_t target, float logSumExp, float scale, T *to) {
  logits.each([&](int64_t at, auto count) {
    constexpr int n = decltype(count)::value;
    float x[n];
    load(row + at, x);
#pragma unroll
    for (int i = 0; i < n; i++) x[i] = (expf(x[i] - logSumExp) - (at + i == target ? 1.0f : 0.0f)) * scale;
    store(to + at, x);
  });
}

/** losses = log Σ exp(logits) − logits[target], 0 for the ignored index. */
template <class T>
VWN_DEVICE void rowLoss(const T *all, const int32_t *targets, float *losses, float *logSumExp, int64_t rows, int64_t V, int64_t ignore,
                        int32_t *problem) {
  VWN_SHARED(float, room);
  const Logits logits{all, V, V % 8 == 0 && beginEights(all)};
  const Words words{targets, V, ignore, problem};
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const float *x = all + row * V, logSum = logSumOfRow(logits, x, room);
    if (threadIdx.x > 0) continue;
    logSumExp[row] = logSum;
    losses[row] = words.hasWord(row) ? logSum - x[targets[row]] : 0.0f;
  }
}
VWN_SINGLE(rowLoss,
           (const real *logits, const int32_t *targets, float *losses, float *logSumExp, int64_t rows, int64_t V,
            int64_t ignore, int32_t *problem),
           (logits, targets, losses, logSumExp, rows, V, ignore, problem))

/** gradients = dy·(softmax(logits) − [target]), which may take the logits' place. */
template <class T>
VWN_DEVICE void rowLossGrad(const float *all, T *gradients, const int32_t *targets, const float *logSumExp, const float *dy, int64_t rows,
                            int64_t V, int64_t ignore, int32_t *problem) {
  const Logits logits{all, V, V % 8 == 0 && beginEights(all, gradients)};
  const Words words{targets, V, ignore, problem};
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    (void)words.hasWord(row);
    const float scale = words.isIgnored(row) ? 0.0f : dy[row];
    gradientOfRow(logits, all + row * V, targets[row], logSumExp[row], scale, gradients + row * V);
  }
}
VWN_FLOATS(rowLossGrad,
           (const float *logits, real *gradients, const int32_t *targets, const float *logSumExp, const float *dy, int64_t rows,
            int64_t V, int64_t ignore, int32_t *problem),
           (logits, gradients, targets, logSumExp, dy, rows, V, ignore, problem))

/** Both, a row after the other, whose logits come from a cache the second time: every row's loss has the gradient `share`. */
template <class T>
VWN_DEVICE void rowLossAndGrad(const float *all, T *gradients, const int32_t *targets, float *losses, float share, int64_t rows, int64_t V,
                               int64_t ignore, int32_t *problem) {
  VWN_SHARED(float, room);
  const Logits logits{all, V, V % 8 == 0 && beginEights(all, gradients)};
  const Words words{targets, V, ignore, problem};
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const float *x = all + row * V, logSum = logSumOfRow(logits, x, room);
    if (threadIdx.x == 0) losses[row] = words.hasWord(row) ? logSum - x[targets[row]] : 0.0f;
    // The logit of the target is read before its gradient takes its place.
    __syncthreads();
    gradientOfRow(logits, x, targets[row], logSum, words.isIgnored(row) ? 0.0f : share, gradients + row * V);
  }
}
VWN_FLOATS(rowLossAndGrad,
           (const float *logits, real *gradients, const int32_t *targets, float *losses, float share, int64_t rows, int64_t V,
            int64_t ignore, int32_t *problem),
           (logits, gradients, targets, losses, share, rows, V, ignore, problem))

}  // namespace
}  // namespace cuda
}  // namespace vwn
