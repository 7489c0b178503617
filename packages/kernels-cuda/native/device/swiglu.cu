/** y = silu(gate)·up, and its gradient. */
#include "eights.h"

namespace vwn {
namespace cuda {
namespace {

VWN_DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

template <class T>
VWN_DEVICE void swiglu(const T *gate, const T *up, T *y, int64_t size) {
  eachOfGrid(size, beginEights(gate, up, y), [&](int64_t at, auto count) {
    constexpr int n = decltype(count)::value;
    float g[n], u[n];
    load(gate + at, g), load(up + at, u);
#pragma unroll
    for (int i = 0; i < n; i++) u[i] *= g[i] * sigmoid(g[i]);
    store(y + at, u);
  });
}
VWN_FLOATS(swiglu, (const real *gate, const real *up, real *y, int64_t size), (gate, up, y, size))

/** silu' = s + silu·(1 − s) */
template <class T>
VWN_DEVICE void swigluGrad(const T *gate, const T *up, const T *dy, T *dGate, T *dUp, int64_t size) {
  eachOfGrid(size, beginEights(gate, up, dy, dGate, dUp), [&](int64_t at, auto count) {
    constexpr int n = decltype(count)::value;
    float g[n], u[n], d[n];
    load(gate + at, g), load(up + at, u), load(dy + at, d);
#pragma unroll
    for (int i = 0; i < n; i++) {
      const float s = sigmoid(g[i]), silu = g[i] * s;
      g[i] = d[i] * u[i] * (s + silu * (1.0f - s));
      u[i] = d[i] * silu;
    }
    store(dGate + at, g), store(dUp + at, u);
  });
}
VWN_FLOATS(swigluGrad, (const real *gate, const real *up, const real *dy, real *dGate, real *dUp, int64_t size),
           (gate, up, dy, dGate, dUp, size))

}  // namespace
}  // namespace cuda
}  // namespace vwn
