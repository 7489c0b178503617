/** Rotary position embedding, rotate-half convention. */
#include "eights.h"
#include "walk.h"

namespace vwn {
namespace cuda {
namespace {

/**
 * cos [T, half] and behind them sin of (offset + t)·theta^(−i/half). Angles grow to thousands of turns, so they are made in
 * float64; this is a small part of the work, for the table serves all heads and sequences.
 */
template <class T>
VWN_DEVICE void rotaryTable(T *table, int64_t length, int64_t half, double logTheta, int64_t offset) {
  for (int64_t at = gridThread(); at < length * half; at += gridThreads()) {
    const double power = -static_cast<double>(at % half) / static_cast<double>(half) * logTheta;
    const double angle = static_cast<double>(offset + at / half) * exp(power);
    table[at] = static_cast<float>(cos(angle));
    table[length * half + at] = static_cast<float>(sin(angle));
  }
}
VWN_SINGLE(rotaryTable, (real *table, int64_t length, int64_t half, double logTheta, int64_t offset),
           (table, length, half, logTheta, offset))

/** x, y [B·length, heads, 2·half]; sign −1 turns back. Eights of pairs are of one head. */
template <class T>
VWN_DEVICE void rotary(const T *x, T *y, const float *table, int64_t pairs, int64_t length, int64_t heads, int64_t half,
                       float sign) {
  const bool byEights = half % 8 == 0 && beginEights(x, y, table);
  eachOfGrid(pairs, byEights, [&](int64_t pair, auto count) {
    constexpr int n = decltype(count)::value;
    const Divided head = divided(pair, half), row = divided(divided(head.quotient, heads).quotient, length);
    const int64_t angle = row.remainder * half + head.remainder, at = 2 * head.quotient * half + head.remainder;
    float cosine[n], sine[n], a[n], b[n];
    load(table + angle, cosine), load(table + length * half + angle, sine);
    load(x + at, a), load(x + at + half, b);
#pragma unroll
    for (int i = 0; i < n; i++) {
      const float lower = a[i], upper = b[i], s = sign * sine[i];
      a[i] = lower * cosine[i] - upper * s;
      b[i] = upper * cosine[i] + lower * s;
    }
    store(y + at, a), store(y + at + half, b);
  });
}
VWN_FLOATS(rotary,
           (const real *x, real *y, const float *table, int64_t pairs, int64_t length, int64_t heads, int64_t half,
            float sign),
           (x, y, table, pairs, length, heads, half, sign))

}  // namespace
}  // namespace cuda
}  // namespace vwn
