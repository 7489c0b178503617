/** AdamW and the norm of all gradients; a launch takes many tensors, the grid's y says which. */
#include "eights.h"
#include "tensor-lists.h"

namespace vwn {
namespace cuda {
namespace {

/** p ← p·shrink − stepSize·m/(√v·correction + eps), factors [rows, 3] being these three; nothing where gradScale is NaN. */
template <class T>
VWN_DEVICE void adamw(const Updates &updates, T beta1, T beta2, T eps, const T *factors, const T *gradScale) {
  const Update &u = updates.each[blockIdx.y];
  const float scale = *gradScale, *own = factors + 3 * u.row;
  const float shrink = own[0], stepSize = own[1], correction = own[2];
  if (isnan(scale)) return;
  const float *from = u.grad;
  eachOfGrid(u.size, beginEights(u.parameter, from, u.first, u.second) && beginEights(u.rounded), [&](int64_t at, auto count) {
    constexpr int n = decltype(count)::value;
    float grad[n], first[n], second[n], parameter[n];
    load(from + at, grad), load(u.first + at, first), load(u.second + at, second), load(u.parameter + at, parameter);
#pragma unroll
    for (int i = 0; i < n; i++) {
      grad[i] *= scale;
      first[i] = first[i] * beta1 + grad[i] * (1.0f - beta1);
      second[i] = second[i] * beta2 + grad[i] * grad[i] * (1.0f - beta2);
      parameter[i] = parameter[i] * shrink - stepSize * (first[i] / (sqrtf(second[i]) * correction + eps));
    }
    store(u.parameter + at, parameter), store(u.first + at, first), store(u.second + at, second);
    if (u.rounded) store(u.rounded + at, parameter);
  });
}
VWN_SINGLE(adamw, (Updates updates, real beta1, real beta2, real eps, const real *factors, const real *gradScale),
           (updates, beta1, beta2, eps, factors, gradScale))

/** By one thread: what brings the norm down to `most` (0: any); NaN where norm or loss is not finite. */
template <class T>
VWN_DEVICE void clipScale(const T *norm, const T *loss, T most, T *result) {
  if (threadIdx.x != 0) return;
  const T scale = most / (*norm + 1e-6f);
  const bool finite = isfinite(*norm) && isfinite(*loss);
  *result = !finite ? nanf("") : most > 0.0f && scale < 1.0f ? scale : 1.0f;
}
VWN_SINGLE(clipScale, (const real *norm, const real *loss, real most, real *result), (norm, loss, most, result))

/** partial [tensors, gridDim.x]: sums of squares. */
template <class T>
VWN_DEVICE void sumSquares(const Tensors &tensors, T *partial) {
  VWN_SHARED(float, room);
  const float *x = tensors.each[blockIdx.y];
  float sum = 0;
  eachOfGrid(tensors.sizes[blockIdx.y], beginEights(x), [&](int64_t at, auto count) {
    float values[decltype(count)::value];
    load(x + at, values);
    for (const float value : values) sum += value * value;
  });
  sum = blockSum(sum, room);
  if (threadIdx.x == 0) partial[static_cast<int64_t>(blockIdx.y) * gridDim.x + blockIdx.x] = sum;
}
VWN_SINGLE(sumSquares, (Tensors tensors, real *partial), (tensors, partial))

/** One block: the square root of the sum, in float64, for the sum of squares may pass what float32 holds. */
template <class T>
VWN_DEVICE void rootOfSum(const T *partial, int64_t count, T *result) {
  VWN_SHARED(double, room);
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) sum += static_cast<double>(partial[i]);
  room[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int i = 1; i < static_cast<int>(blockDim.x); i++) sum += room[i];
  *result = static_cast<float>(sqrt(sum));
}
VWN_SINGLE(rootOfSum, (const real *partial, int64_t count, real *result), (partial, count, result))

}  // namespace
}  // namespace cuda
}  // namespace vwn
