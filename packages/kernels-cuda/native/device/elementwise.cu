/** Elementwise functions of one or two tensors. Threads walk over the result, which lies contiguously. */
#include "eights.h"
#include "walk.h"

namespace vwn {
namespace cuda {
namespace {

VWN_DEVICE float function(int operation, float x) {
  switch (operation) {
    case 0: return x * x;
    case 1: return sqrtf(x);
    case 2: return 1.0f / sqrtf(x);
    case 3: return expf(x);
    case 4: return -x;
    case 5: return 1.0f / (1.0f + expf(-x));
    default: return tanhf(x);
  }
}

VWN_DEVICE float combined(int operation, float a, float b) {
  switch (operation) {
    case 0: return a + b;
    case 1: return a - b;
    case 2: return a * b;
    default: return a / b;
  }
}

template <class T>
VWN_DEVICE void unary(const T *x, T *y, int64_t size, int operation) {
  eachOfGrid(size, beginEights(x, y), [&](int64_t at, auto count) {
    constexpr int n = decltype(count)::value;
    float values[n];
    load(x + at, values);
#pragma unroll
    for (int i = 0; i < n; i++) values[i] = function(operation, values[i]);
    store(y + at, values);
  });
}
VWN_FLOATS(unary, (const real *x, real *y, int64_t size, int operation), (x, y, size, operation))

/** Both operands as they lie. */
template <class T>
VWN_DEVICE void combine(const T *a, const T *b, T *y, int64_t size, int operation) {
  eachOfGrid(size, beginEights(a, b, y), [&](int64_t at, auto count) {
    constexpr int n = decltype(count)::value;
    float left[n], right[n];
    load(a + at, left), load(b + at, right);
#pragma unroll
    for (int i = 0; i < n; i++) left[i] = combined(operation, left[i], right[i]);
    store(y + at, left);
  });
}
template <class T>
VWN_DEVICE void binary(const T *a, const T *b, T *y, int64_t size, int operation, const Dimensions &walk) {
  if (walk.rank == 1 && walk.first[0] == 1 && walk.second[0] == 1) return combine(a, b, y, size, operation);
  for (int64_t i = gridThread(); i < size; i += gridThreads()) {
    const Offsets at = offsetsAt(walk, i);
    put(y[i], combined(operation, toFloat(a[at.first]), toFloat(b[at.second])));
  }
}
VWN_FLOATS(binary, (const real *a, const real *b, real *y, int64_t size, int operation, Dimensions walk),
           (a, b, y, size, operation, walk))

/** From one storage to the other; to its own it is a copy. */
template <class T>
VWN_DEVICE void convertTo(const T *x, void *y, int64_t size, int toHalves) {
  eachOfGrid(size, beginEights(x, static_cast<const float *>(y)), [&](int64_t at, auto count) {
    float values[decltype(count)::value];
    load(x + at, values);
    if (toHalves) store(static_cast<bf16 *>(y) + at, values);
    else store(static_cast<float *>(y) + at, values);
  });
}
VWN_FLOATS(convertTo, (const real *x, void *y, int64_t size, int toHalves), (x, y, size, toHalves))

}  // namespace
}  // namespace cuda
}  // namespace vwn
