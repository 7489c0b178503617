/** Cross-entropy of rows of logits, a block a row, and its gradient in their place. */
#include "device.h"

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

/** losses = log Σ exp(logits) − logits[target], 0 for the ignored index. Infinite logits make NaN, as on vwn-cpu. */
template <class T>
VWN_DEVICE void rowLoss(const T *logits, const int32_t *targets, float *losses, float *logSumExp, int64_t rows, int64_t V,
                        int64_t ignore, int32_t *problem) {
  VWN_SHARED(float, room);
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const float *x = logits + row * V;
    float most = -INFINITY;
    for (int64_t i = threadIdx.x; i < V; i += blockDim.x) most = fmaxf(most, x[i]);
    most = blockMaximum(most, room);
    float sum = 0;
    for (int64_t i = threadIdx.x; i < V; i += blockDim.x) sum += expf(x[i] - most) + (x[i] - x[i]);
    sum = blockSum(sum, room);
    if (threadIdx.x > 0) continue;
    const int64_t target = targets[row];
    const bool isWord = target >= 0 && target < V;
    if (!isWord && target != ignore) tell(problem);
    logSumExp[row] = most + logf(sum);
    losses[row] = target == ignore || !isWord ? 0.0f : logSumExp[row] - x[target];
  }
}
VWN_SINGLE(rowLoss,
           (const real *logits, const int32_t *targets, float *losses, float *logSumExp, int64_t rows, int64_t V,
            int64_t ignore, int32_t *problem),
           (logits, targets, losses, logSumExp, rows, V, ignore, problem))

/** logits ← dy·(softmax(logits) − [target]); without dy every row has the gradient `share` */
template <class T>
VWN_DEVICE void rowLossGrad(T *logits, const int32_t *targets, const float *logSumExp, const float *dy, float share,
                            int64_t rows, int64_t V, int64_t ignore, int32_t *problem) {
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const int64_t target = targets[row];
    if ((target < 0 || target >= V) && target != ignore) tell(problem);
    const float scale = target == ignore ? 0.0f : dy ? dy[row] : share, shift = logSumExp[row];
    for (int64_t i = threadIdx.x; i < V; i += blockDim.x)
      logits[row * V + i] = (expf(logits[row * V + i] - shift) - (i == target ? 1.0f : 0.0f)) * scale;
  }
}
VWN_SINGLE(rowLossGrad,
           (real *logits, const int32_t *targets, const float *logSumExp, const float *dy, float share, int64_t rows,
            int64_t V, int64_t ignore, int32_t *problem),
           (logits, targets, logSumExp, dy, share, rows, V, ignore, problem))

}  // namespace
}  // namespace cuda
}  // namespace vwn
