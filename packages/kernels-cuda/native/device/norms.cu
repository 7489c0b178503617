/** Root mean square norm of groups within rows, a warp a group, and its gradients. */
#include "eights.h"

namespace vwn {
namespace cuda {
namespace {

/** The group that this warp works on next, and how many warps the grid has. */
VWN_DEVICE int64_t gridWarp() { return gridThread() / warpSize_; }
VWN_DEVICE int64_t gridWarps() { return gridThreads() / warpSize_; }
VWN_DEVICE int64_t lane() { return threadIdx.x % warpSize_; }
/** The elements of a group, shared out to the warp's lanes. */
template <class Body>
VWN_DEVICE void eachOfGroup(int64_t size, bool byEights, const Body &body) {
  shareOut(size, byEights, lane(), warpSize_, body);
}

template <class T>
VWN_DEVICE float reciprocalRms(const T *x, int64_t size, bool byEights, float eps) {
  float squares = 0;
  eachOfGroup(size, byEights, [&](int64_t at, auto count) {
    float values[decltype(count)::value];
    load(x + at, values);
    for (const float value : values) squares += value * value;
  });
  return rsqrtf(warpSum(squares) / static_cast<float>(size) + eps);
}

/** weight [groups·size] repeats from row to row. */
template <class T>
VWN_DEVICE void rmsNorm(const T *x, const float *weight, T *y, int64_t rows, int64_t groups, int64_t size, float eps) {
  const bool byEights = size % 8 == 0 && beginEights(x, y) && beginEights(weight);
  for (int64_t group = gridWarp(); group < rows * groups; group += gridWarps()) {
    const T *in = x + group * size;
    const float *scale = weight + group % groups * size, s = reciprocalRms(in, size, byEights, eps);
    eachOfGroup(size, byEights, [&](int64_t at, auto count) {
      constexpr int n = decltype(count)::value;
      float values[n], by[n];
      load(in + at, values), load(scale + at, by);
#pragma unroll
      for (int i = 0; i < n; i++) values[i] *= s * by[i];
      store(y + group * size + at, values);
    });
  }
}
VWN_FLOATS(rmsNorm, (const real *x, const float *weight, real *y, int64_t rows, int64_t groups, int64_t size, float eps),
           (x, weight, y, rows, groups, size, eps))

/** With g = dy·weight and x̂ = x·s: dx = s·(g − x̂·mean(g·x̂)). Keeps s [rows, groups] for the gradient of the weight. */
template <class T>
VWN_DEVICE void rmsNormGrad(const T *x, const float *weight, const T *dy, T *dx, float *reciprocals, int64_t rows,
                            int64_t groups, int64_t size, float eps) {
  const bool byEights = size % 8 == 0 && beginEights(x, dy, dx) && beginEights(weight);
  for (int64_t group = gridWarp(); group < rows * groups; group += gridWarps()) {
    const T *in = x + group * size, *up = dy + group * size;
    const float *scale = weight + group % groups * size, s = reciprocalRms(in, size, byEights, eps);
    float dot = 0;
    eachOfGroup(size, byEights, [&](int64_t at, auto count) {
      constexpr int n = decltype(count)::value;
      float values[n], ups[n], by[n];
      load(in + at, values), load(up + at, ups), load(scale + at, by);
#pragma unroll
      for (int i = 0; i < n; i++) dot += ups[i] * by[i] * values[i];
    });
    const float shift = s * s * s * warpSum(dot) / static_cast<float>(size);
    eachOfGroup(size, byEights, [&](int64_t at, auto count) {
      constexpr int n = decltype(count)::value;
      float values[n], ups[n], by[n];
      load(in + at, values), load(up + at, ups), load(scale + at, by);
#pragma unroll
      for (int i = 0; i < n; i++) ups[i] = ups[i] * by[i] * s - values[i] * shift;
      store(dx + group * size + at, ups);
    });
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

/** Eights of a row that a lane has, and what it adds up over its rows for as many columns of the weight. */
template <int eights>
struct LaneSums {
  float values[eights][8] = {};

  /** A warp after another adds its own to the block's, which go to `to` [size]. */
  VWN_DEVICE void put(int64_t size, float *room, float *to) const {
    const int warp = static_cast<int>(threadIdx.x) / warpSize_, warps = static_cast<int>(blockDim.x) / warpSize_;
    for (int turn = 0; turn < warps; turn++) {
      if (turn == warp) eachColumn(size, [&](int64_t column, float sum) { room[column] = turn > 0 ? room[column] + sum : sum; });
      __syncthreads();
    }
    for (int64_t column = threadIdx.x; column < size; column += blockDim.x) to[column] = room[column];
  }

 private:
  template <class Body>
  VWN_DEVICE void eachColumn(int64_t size, const Body &body) const {
#pragma unroll
    for (int j = 0; j < eights; j++)
      if (8 * (lane() + j * warpSize_) < size)
#pragma unroll
        for (int i = 0; i < 8; i++) body(8 * (lane() + j * warpSize_) + i, values[j][i]);
  }
};

/**
 * Both gradients of whole rows of up to 256·eights columns, of which each number is read once; partial [blocks, size] are a block's sums
 * for the weight's.
 */
template <int eights>
VWN_DEVICE void rmsNormRowsGrad(const bf16 *x, const float *weight, const bf16 *dy, bf16 *dx, float *partial, int64_t rows,
                                int64_t size, float eps) {
  VWN_SHARED(float, room);
  LaneSums<eights> sums;
  for (int64_t row = gridWarp(); row < rows; row += gridWarps()) {
    Chunk in[eights], up[eights];
    const auto eachOfLane = [&](const auto &body) {
#pragma unroll
      for (int j = 0; j < eights; j++) {
        const int64_t at = 8 * (lane() + j * warpSize_);
        if (at < size) body(j, at);
      }
    };
    eachOfLane([&](int j, int64_t at) {
      in[j] = wholeAt<Chunk>(x + row * size + at);
      up[j] = wholeAt<Chunk>(dy + row * size + at);
    });
    float squares = 0, dot = 0;
    eachOfLane([&](int j, int64_t at) {
      float values[8], ups[8], by[8];
      unpack(in[j], values), unpack(up[j], ups), load(weight + at, by);
#pragma unroll
      for (int i = 0; i < 8; i++) squares += values[i] * values[i], dot += ups[i] * by[i] * values[i];
    });
    const float s = rsqrtf(warpSum(squares) / static_cast<float>(size) + eps);
    const float shift = s * s * s * warpSum(dot) / static_cast<float>(size);
    eachOfLane([&](int j, int64_t at) {
      float values[8], ups[8], by[8];
      unpack(in[j], values), unpack(up[j], ups), load(weight + at, by);
#pragma unroll
      for (int i = 0; i < 8; i++) {
        sums.values[j][i] += ups[i] * values[i] * s;
        ups[i] = ups[i] * by[i] * s - values[i] * shift;
      }
      store(dx + row * size + at, ups);
    });
  }
  sums.put(size, room, partial + blockIdx.x * size);
}
#define VWN_ROWS_GRAD(eights, blocks)                                                                                            \
  template <class T>                                                                                                        \
  VWN_DEVICE void rmsNormRowsGrad_of##eights(const T *x, const float *weight, const T *dy, T *dx, float *partial,           \
                                             int64_t rows, int64_t size, float eps) {                                       \
    rmsNormRowsGrad<eights>(x, weight, dy, dx, partial, rows, size, eps);                                                   \
  }                                                                                                                         \
  VWN_ENTRY_IN_BLOCKS(rmsNormRowsGrad_of##eights, bf16, ::vwn::cuda::bf16, blocks,                                          \
                      (const real *x, const float *weight, const real *dy, real *dx, float *partial, int64_t rows,          \
                       int64_t size, float eps),                                                                            \
                      (x, weight, dy, dx, partial, rows, size, eps))
VWN_ROWS_GRAD(1, 2)
VWN_ROWS_GRAD(2, 2)
VWN_ROWS_GRAD(4, 2)
VWN_ROWS_GRAD(8, 1)

}  // namespace
}  // namespace cuda
}  // namespace vwn
