/**
 * Sums along neighbouring dimensions, x [outer, count, inner] → y [outer, inner], in two passes: `parts` of a sum, then
 * these in order. So few long sums keep a GPU busy as well, and every sum has one order.
 */
#include "device.h"

namespace vwn {
namespace cuda {
namespace {

/** A block a part of a row of its own: partial [outer, parts], each of up to `partSize` elements that lie together. */
template <class T>
VWN_DEVICE void sumRows(const T *x, float *partial, int64_t outer, int64_t count, int64_t parts, int64_t partSize) {
  VWN_SHARED(float, room);
  for (int64_t task = blockIdx.x; task < outer * parts; task += gridDim.x) {
    const int64_t first = task % parts * partSize;
    const int64_t end = first + partSize < count ? first + partSize : count;
    const T *row = x + task / parts * count;
    float sum = 0;
    for (int64_t i = first + threadIdx.x; i < end; i += blockDim.x) sum += toFloat(row[i]);
    sum = blockSum(sum, room);
    if (threadIdx.x == 0) partial[task] = sum;
  }
}
VWN_FLOATS(sumRows, (const real *x, float *partial, int64_t outer, int64_t count, int64_t parts, int64_t partSize),
           (x, partial, outer, count, parts, partSize))

/** A thread a column of a part: partial [outer, parts, inner]. */
template <class T>
VWN_DEVICE void sumColumns(const T *x, float *partial, int64_t outer, int64_t count, int64_t inner, int64_t parts,
                           int64_t partSize) {
  for (int64_t task = gridThread(); task < outer * parts * inner; task += gridThreads()) {
    const int64_t i = task % inner, part = task / inner % parts, first = part * partSize;
    const int64_t end = first + partSize < count ? first + partSize : count;
    const T *column = x + task / inner / parts * count * inner + i;
    float sum = 0;
    for (int64_t r = first; r < end; r++) sum += toFloat(column[r * inner]);
    partial[task] = sum;
  }
}
VWN_FLOATS(sumColumns,
           (const real *x, float *partial, int64_t outer, int64_t count, int64_t inner, int64_t parts, int64_t partSize),
           (x, partial, outer, count, inner, parts, partSize))

/** y[o, i] = factor · Σ_part partial[o, part, i] */
template <class T>
VWN_DEVICE void sumParts(const T *partial, float *y, int64_t outer, int64_t inner, int64_t parts, float factor) {
  for (int64_t task = gridThread(); task < outer * inner; task += gridThreads()) {
    const T *first = partial + task / inner * parts * inner + task % inner;
    float sum = 0;
    for (int64_t part = 0; part < parts; part++) sum += first[part * inner];
    y[task] = factor * sum;
  }
}
VWN_SINGLE(sumParts, (const real *partial, float *y, int64_t outer, int64_t inner, int64_t parts, float factor),
           (partial, y, outer, inner, parts, factor))

/** y[i] = Σ_part partial[part, i] of many parts: a lane has a column, and each warp of its block every eighth part. */
template <class T>
VWN_DEVICE void sumManyParts(const T *partial, float *y, int64_t inner, int64_t parts) {
  VWN_SHARED(float, room);
  const int64_t warps = blockDim.x / warpSize_, warp = threadIdx.x / warpSize_, lane = threadIdx.x % warpSize_;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * warpSize_; first < inner; first += static_cast<int64_t>(gridDim.x) * warpSize_) {
    const bool isThere = first + lane < inner;
    float sum = 0;
#pragma unroll 4
    for (int64_t part = warp; isThere && part < parts; part += warps) sum += partial[part * inner + first + lane];
    room[threadIdx.x] = sum;
    __syncthreads();
    if (warp == 0 && isThere) {
      for (int64_t i = 1; i < warps; i++) sum += room[i * warpSize_ + lane];
      y[first + lane] = sum;
    }
    __syncthreads();
  }
}
VWN_SINGLE(sumManyParts, (const real *partial, float *y, int64_t inner, int64_t parts), (partial, y, inner, parts))

}  // namespace
}  // namespace cuda
}  // namespace vwn
