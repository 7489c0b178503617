/** Root mean square norm of groups within rows, a warp a group, and its gradients. */
#include "device.h"

namespace vwn {
namespace cuda {
namespace {

/** The group that this warp works on next, and how many warps the grid has. */
VWN_DEVICE int64_t gridWarp() { return gridThread() / warpSize_; }
VWN_DEVICE int64_t gridWarps() { return gridThreads() / warpSize_; }
VWN_DEVICE int64_t lane() { return threadIdx.x % warpSize_; }

template <class T>
VWN_DEVICE float reciprocalRms(const T *x, int64_t size, float eps) {
  float squares = 0;
  for (int64_t i = lane(); i < size; i += warpSize_) squares += toFloat(x[i]) * toFloat(x[i]);
  return 1.0f / sqrtf(warpSum(squares) / static_cast<float>(size) + eps);
}

/** weight [groups·size] repeats from row to row. */
template <class T>
VWN_DEVICE void rmsNorm(const T *x, const float *weight, T *y, int64_t rows, int64_t groups, int64_t size, float eps) {
  for (int64_t group = gridWarp(); group < rows * groups; group += gridWarps()) {
    const T *in = x + group * size;
    const float *scale = weight + group % groups * size, s = reciprocalRms(in, size, eps);
    for (int64_t i = lane(); i < size; i += warpSize_) put(y[group * size + i], toFloat(in[i]) * s * scale[i]);
  }
}
VWN_FLOATS(rmsNorm, (const real *x, const float *weight, real *y, int64_t rows, int64_t groups, int64_t size, float eps),
           (x, weight, y, rows, groups, size, eps))

/** With g = dy·weight and x̂ = x·s: dx = s·(g − x̂·mean(g·x̂)). Keeps s [rows, groups] for the gradient of the weight. */
template <class T>
VWN_DEVICE void rmsNormGrad(const T *x, const float *weight, const T *dy, T *dx, float *reciprocals, int64_t rows,
                            int64_t groups, int64_t size, float eps) {
  for (int64_t group = gridWarp(); group < rows * groups; group += gridWarps()) {
    const T *in = x + group * size, *up = dy + group * size;
    const float *scale = weight + group % groups * size, s = reciprocalRms(in, size, eps);
    float dot = 0;
    for (int64_t i = lane(); i < size; i += warpSize_) dot += toFloat(up[i]) * scale[i] * toFloat(in[i]);
    const float shift = s * s * s * warpSum(dot) / static_cast<float>(size);
    for (int64_t i = lane(); i < size; i += warpSize_)
      put(dx[group * size + i], toFloat(up[i]) * scale[i] * s - toFloat(in[i]) * shift);
    if (lane() == 0) reciprocals[group] = s;
  }
}
VWN_FLOATS(rmsNormGrad,
           (const real *x, const float *weight, const real *dy, real *dx, float *reciprocals, int64_t rows,
            int64_t groups, int64_t size, float eps),
           (x, weight, dy, dx, reciprocals, rows, groups, size, eps))

/** partial [parts, width]: Σ dy·x·s over the rows of a part; a thread a column, a part a block row of the grid. */
template <class T>
VWN_DEVICE void rmsNormWeightGrad(const T *x, const T *dy, const float *reciprocals, float *partial, int64_t rows,
                                  int64_t groups, int64_t size) {
  const int64_t width = groups * size, part = blockIdx.y, parts = gridDim.y;
  const int64_t begin = part * rows / parts, end = (part + 1) * rows / parts;
  for (int64_t column = gridThread(); column < width; column += gridThreads()) {
    float sum = 0;
    for (int64_t row = begin; row < end; row++)
      sum += toFloat(dy[row * width + column]) * toFloat(x[row * width + column]) *
             reciprocals[row * groups + column / size];
    partial[part * width + column] = sum;
  }
}
VWN_FLOATS(rmsNormWeightGrad,
           (const real *x, const real *dy, const float *reciprocals, float *partial, int64_t rows, int64_t groups,
            int64_t size),
           (x, dy, reciprocals, partial, rows, groups, size))

}  // namespace
}  // namespace cuda
}  // namespace vwn
