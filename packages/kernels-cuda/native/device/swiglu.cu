/** y = silu(gate)·up, and its gradient. */
#include "device.h"

namespace vwn {
namespace cuda {
namespace {

VWN_DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

template <class T>
VWN_DEVICE void swiglu(const T *gate, const T *up, T *y, int64_t size) {
  for (int64_t i = gridThread(); i < size; i += gridThreads()) {
    const float g = toFloat(gate[i]);
    put(y[i], g * sigmoid(g) * toFloat(up[i]));
  }
}
VWN_FLOATS(swiglu, (const real *gate, const real *up, real *y, int64_t size), (gate, up, y, size))

/** silu' = s + silu·(1 − s) */
template <class T>
VWN_DEVICE void swigluGrad(const T *gate, const T *up, const T *dy, T *dGate, T *dUp, int64_t size) {
  for (int64_t i = gridThread(); i < size; i += gridThreads()) {
    const float g = toFloat(gate[i]), d = toFloat(dy[i]), s = sigmoid(g), silu = g * s;
    put(dGate[i], d * toFloat(up[i]) * (s + silu * (1.0f - s)));
    put(dUp[i], d * silu);
  }
}
VWN_FLOATS(swigluGrad, (const real *gate, const real *up, const real *dy, real *dGate, real *dUp, int64_t size),
           (gate, up, dy, dGate, dUp, size))

}  // namespace
}  // namespace cuda
}  // namespace vwn
