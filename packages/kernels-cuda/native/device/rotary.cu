/** Rotary position embedding, rotate-half convention. */
#include "eights.h"
#include "rotary-shape.h"
#include "walk.h"

namespace vwn {
namespace cuda {
namespace {

/**
 * cos and behind them sin of position·theta^(−i/half), `count` each, from the i-th pair on. Angles grow to thousands of turns, so
 * they are made in float64; this is a small part of the work, for they serve all heads of all sequences.
 */
VWN_DEVICE void putAngles(const Rotation &by, int64_t position, int64_t first, int64_t count, float *to) {
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) {
    const double power = -static_cast<double>(first + i) / static_cast<double>(by.half) * by.logTheta;
    const double angle = static_cast<double>(by.offset + position) * exp(power);
    to[i] = static_cast<float>(cos(angle));
    to[pairsAtOnce + i] = static_cast<float>(sin(angle));
  }
}

/** Blocks x share out the positions, blocks y what there is of one: x, y [B, length, heads, 2·half]. Eights of pairs are of one head. */
template <class T>
VWN_DEVICE void rotary(const T *x, T *y, Rotation by) {
  VWN_SHARED(float, angles);
  const float *sines = angles + pairsAtOnce;
  const bool byEights = by.half % 8 == 0 && beginEights(x, y);
  for (int64_t t = blockIdx.x; t < by.length; t += gridDim.x)
    for (int64_t first = 0; first < by.half; first += pairsAtOnce) {
      const int64_t count = by.half - first < pairsAtOnce ? by.half - first : pairsAtOnce;
      __syncthreads();
      putAngles(by, t, first, count, angles);
      __syncthreads();
      const int64_t thread = blockIdx.y * static_cast<int64_t>(blockDim.x) + threadIdx.x;
      shareOut(by.sequences * by.heads * count, byEights, thread, static_cast<int64_t>(blockDim.x) * gridDim.y, [&](int64_t pair, auto size) {
        constexpr int n = decltype(size)::value;
        const Divided of = divided(pair, count), head = divided(of.quotient, by.heads);
        const int64_t row = (head.quotient * by.length + t) * by.heads + head.remainder, at = 2 * row * by.half + first + of.remainder;
        float cosine[n], sine[n], a[n], b[n];
        load(angles + of.remainder, cosine), load(sines + of.remainder, sine);
        load(x + at, a), load(x + at + by.half, b);
#pragma unroll
        for (int i = 0; i < n; i++) {
          const float lower = a[i], upper = b[i], s = by.sign * sine[i];
          a[i] = lower * cosine[i] - upper * s;
          b[i] = upper * cosine[i] + lower * s;
        }
        store(y + at, a), store(y + at + by.half, b);
      });
    }
}
VWN_FLOATS(rotary, (const real *x, real *y, Rotation by), (x, y, by))

}  // namespace
}  // namespace cuda
}  // namespace vwn
