/** Root mean square norm of groups within rows, a warp a group, alone and behind a residual sum, and its gradients. */
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

/** next = h + out, and x = its norm; each lane reads back what it has written itself. */
template <class T>
VWN_DEVICE void residualStep(const T *h, const T *out, const float *weight, T *next, T *x, int64_t rows, int64_t size, float eps) {
  const bool byEights = size % 8 == 0 && beginEights(h, out, next, x) && beginEights(weight);
  for (int64_t row = gridWarp(); row < rows; row += gridWarps()) {
    const int64_t first = row * size;
    eachOfGroup(size, byEights, [&](int64_t at, auto count) {
      constexpr int n = decltype(count)::value;
      float values[n], more[n];
      load(h + first + at, values), load(out + first + at, more);
#pragma unroll
      for (int i = 0; i < n; i++) values[i] += more[i];
      store(next + first + at, values);
    });
    const float s = reciprocalRms(next + first, size, byEights, eps);
    eachOfGroup(size, byEights, [&](int64_t at, auto count) {
      constexpr int n = decltype(count)::value;
      float values[n], by[n];
      load(next + first + at, values), load(weight + at, by);
#pragma unroll
      for (int i = 0; i < n; i++) values[i] *= s * by[i];
      store(x + first + at, values);
    });
  }
}
VWN_FLOATS(residualStep,
           (const real *h, const real *out, const float *weight, real *next, real *x, int64_t rows, int64_t size, float eps),
           (h, out, weight, next, x, rows, size, eps))

/**
 * With g = dy·weight and x̂ = x·s: dx = s·(g − x̂·mean(g·x̂)), and `beside`, where it is there, added. Keeps s [rows, groups] for the
 * gradient of the weight.
 */
template <class T>
VWN_DEVICE void rmsNormGrad(const T *x, const float *weight, const T *dy, const T *beside, T *dx, float *reciprocals, int64_t rows,
                            int64_t groups, int64_t size, float eps) {
  const bool byEights = size % 8 == 0 && beginEights(x, dy, dx, beside) && beginEights(weight);
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
      if (beside) load(beside + group * size + at, values);
#pragma unroll
      for (int i = 0; i < n && beside; i++) ups[i] += values[i];
      store(dx + group * size + at, ups);
    });
    if (lane() == 0) reciprocals[group] = s;
  }
}
VWN_FLOATS(rmsNormGrad,
           (const real *x, const float *weight, const real *dy, const real *beside, real *dx, float *reciprocals, int64_t rows,
            int64_t groups, int64_t size, float eps),
           (x, weight, dy, beside, dx, reciprocals, rows, groups, size, eps))

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

/** Of a row of up to 256·eights columns, body(j, at) for those 8 from `at` on that are the j-th of this lane. */
template <int eights, class Body>
VWN_DEVICE void eachEightOfLane(int64_t size, const Body &body) {
#pragma unroll
  for (int j = 0; j < eights; j++) {
    const int64_t at = 8 * (lane() + j * warpSize_);
    if (at < size) body(j, at);
  }
}

/** As residualStep, whole rows of up to 256·eights columns, which stay in registers. */
template <int eights>
VWN_DEVICE void residualStepRows(const bf16 *h, const bf16 *out, const float *weight, bf16 *next, bf16 *x, int64_t rows, int64_t size,
                                 float eps) {
  for (int64_t row = gridWarp(); row < rows; row += gridWarps()) {
    const int64_t first = row * size;
    Chunk sums[eights], more[eights];
    eachEightOfLane<eights>(size, [&](int j, int64_t at) {
      sums[j] = wholeAt<Chunk>(h + first + at);
      more[j] = wholeAt<Chunk>(out + first + at);
    });
    float squares = 0;
    eachEightOfLane<eights>(size, [&](int j, int64_t at) {
      float values[8], others[8];
      unpack(sums[j], values), unpack(more[j], others);
#pragma unroll
      for (int i = 0; i < 8; i++) values[i] += others[i];
      sums[j] = pack(values);
      putWhole(next + first + at, sums[j]);
      // The norm is that of what is stored.
      unpack(sums[j], values);
#pragma unroll
      for (int i = 0; i < 8; i++) squares += values[i] * values[i];
    });
    const float s = rsqrtf(warpSum(squares) / static_cast<float>(size) + eps);
    eachEightOfLane<eights>(size, [&](int j, int64_t at) {
      float values[8], by[8];
      unpack(sums[j], values), load(weight + at, by);
#pragma unroll
      for (int i = 0; i < 8; i++) values[i] *= s * by[i];
      store(x + first + at, values);
    });
  }
}

/** What a lane adds up over its rows for its columns of the weight. */
template <int eights>
struct LaneSums {
  float values[eights][8] = {};

  /** A warp after another adds its own to the block's, which go to `to` [size]. */
  VWN_DEVICE void put(int64_t size, float *room, float *to) const {
    const int warp = static_cast<int>(threadIdx.x) / warpSize_, warps = static_cast<int>(blockDim.x) / warpSize_;
    for (int turn = 0; turn < warps; turn++) {
      if (turn == warp)
        eachEightOfLane<eights>(size, [&](int j, int64_t at) {
#pragma unroll
          for (int i = 0; i < 8; i++) room[at + i] = turn > 0 ? room[at + i] + values[j][i] : values[j][i];
        });
      __syncthreads();
    }
    for (int64_t column = threadIdx.x; column < size; column += blockDim.x) to[column] = room[column];
  }
};

/**
 * As rmsNormGrad, of groups of up to 256·eights columns, and the gradient of the weight, of which each number is read once. Grid: blocks
 * that share out the rows by x, groups by y; partial [blocks, groups·size] are a block's sums for the weight's.
 */
template <int eights>
VWN_DEVICE void rmsNormRowsGrad(const bf16 *x, const float *weight, const bf16 *dy, const bf16 *beside, bf16 *dx, float *partial,
                                int64_t rows, int64_t size, float eps) {
  VWN_SHARED(float, room);
  LaneSums<eights> sums;
  const int64_t width = gridDim.y * size, group = blockIdx.y * size;
  weight += group, partial += blockIdx.x * width + group;
  for (int64_t row = gridWarp(); row < rows; row += gridWarps()) {
    const int64_t first = row * width + group;
    Chunk in[eights], up[eights], more[eights];
    eachEightOfLane<eights>(size, [&](int j, int64_t at) {
      in[j] = wholeAt<Chunk>(x + first + at);
      up[j] = wholeAt<Chunk>(dy + first + at);
      more[j] = beside ? wholeAt<Chunk>(beside + first + at) : Chunk{};
    });
    float squares = 0, dot = 0;
    eachEightOfLane<eights>(size, [&](int j, int64_t at) {
      float values[8], ups[8], by[8];
      unpack(in[j], values), unpack(up[j], ups), load(weight + at, by);
#pragma unroll
      for (int i = 0; i < 8; i++) squares += values[i] * values[i], dot += ups[i] * by[i] * values[i];
    });
    const float s = rsqrtf(warpSum(squares) / static_cast<float>(size) + eps);
    const float shift = s * s * s * warpSum(dot) / static_cast<float>(size);
    eachEightOfLane<eights>(size, [&](int j, int64_t at) {
      float values[8], ups[8], by[8], others[8];
      unpack(in[j], values), unpack(up[j], ups), unpack(more[j], others), load(weight + at, by);
#pragma unroll
      for (int i = 0; i < 8; i++) {
        sums.values[j][i] += ups[i] * values[i] * s;
        ups[i] = ups[i] * by[i] * s - values[i] * shift + others[i];
      }
      store(dx + first + at, ups);
    });
  }
  sums.put(size, room, partial);
}
#define VWN_ROWS(eights, blocks)                                                                                              \
  template <class T>                                                                                                          \
  VWN_DEVICE void residualStepRows_of##eights(const T *h, const T *out, const float *weight, T *next, T *x, int64_t rows,     \
                                              int64_t size, float eps) {                                                      \
    residualStepRows<eights>(h, out, weight, next, x, rows, size, eps);                                                       \
  }                                                                                                                           \
  VWN_ENTRY_IN_BLOCKS(residualStepRows_of##eights, bf16, ::vwn::cuda::bf16, 2 * blocks,                                       \
                      (const real *h, const real *out, const float *weight, real *next, real *x, int64_t rows, int64_t size,  \
                       float eps),                                                                                            \
                      (h, out, weight, next, x, rows, size, eps))                                                             \
  template <class T>                                                                                                          \
  VWN_DEVICE void rmsNormRowsGrad_of##eights(const T *x, const float *weight, const T *dy, const T *beside, T *dx,            \
                                             float *partial, int64_t rows, int64_t size, float eps) {                         \
    rmsNormRowsGrad<eights>(x, weight, dy, beside, dx, partial, rows, size, eps);                                             \
  }                                                                                                                           \
  VWN_ENTRY_IN_BLOCKS(rmsNormRowsGrad_of##eights, bf16, ::vwn::cuda::bf16, blocks,                                            \
                      (const real *x, const float *weight, const real *dy, const real *beside, real *dx, float *partial,      \
                       int64_t rows, int64_t size, float eps),                                                                \
                      (x, weight, dy, beside, dx, partial, rows, size, eps))
VWN_ROWS(1, 2)
VWN_ROWS(2, 2)
VWN_ROWS(4, 2)
VWN_ROWS(8, 1)

}  // namespace
}  // namespace cuda
}  // namespace vwn
