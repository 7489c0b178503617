/** Elementwise functions of one or two tensors. Threads walk over the result, which lies contiguously. */
#include "device.h"
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
  for (int64_t i = gridThread(); i < size; i += gridThreads()) put(y[i], function(operation, toFloat(x[i])));
}
VWN_FLOATS(unary, (const real *x, real *y, int64_t size, int operation), (x, y, size, operation))

template <class T>
VWN_DEVICE void binary(const T *a, const T *b, T *y, int64_t size, int operation, const Dimensions &walk) {
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
  for (int64_t i = gridThread(); i < size; i += gridThreads())
    if (toHalves) put(static_cast<bf16 *>(y)[i], toFloat(x[i]));
    else put(static_cast<float *>(y)[i], toFloat(x[i]));
}
VWN_FLOATS(convertTo, (const real *x, void *y, int64_t size, int toHalves), (x, y, size, toHalves))

}  // namespace
}  // namespace cuda
}  // namespace vwn
