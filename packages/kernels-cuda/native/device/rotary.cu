/** Rotary position embedding, rotate-half convention. */
#include "device.h"

namespace vwn {
namespace cuda {
namespace {

/**
 * cos and sin of (offset + t)·theta^(−i/half), table [T, half, 2]. Angles grow to thousands of turns, so they are made in
 * float64; this is a small part of the work, for the table serves all heads and sequences.
 */
template <class T>
VWN_DEVICE void rotaryTable(T *table, int64_t length, int64_t half, double logTheta, int64_t offset) {
  for (int64_t at = gridThread(); at < length * half; at += gridThreads()) {
    const double power = -static_cast<double>(at % half) / static_cast<double>(half) * logTheta;
    const double angle = static_cast<double>(offset + at / half) * exp(power);
    table[2 * at] = static_cast<float>(cos(angle));
    table[2 * at + 1] = static_cast<float>(sin(angle));
  }
}
VWN_SINGLE(rotaryTable, (real *table, int64_t length, int64_t half, double logTheta, int64_t offset),
           (table, length, half, logTheta, offset))

/** x, y [B·length, heads, 2·half]; sign −1 turns back. */
template <class T>
VWN_DEVICE void rotary(const T *x, T *y, const float *table, int64_t pairs, int64_t length, int64_t heads, int64_t half,
                       float sign) {
  for (int64_t pair = gridThread(); pair < pairs; pair += gridThreads()) {
    const int64_t i = pair % half, head = pair / half, row = head / heads % length;
    const float cosine = table[2 * (row * half + i)], sine = sign * table[2 * (row * half + i) + 1];
    const int64_t at = 2 * head * half + i;
    const float a = toFloat(x[at]), b = toFloat(x[at + half]);
    put(y[at], a * cosine - b * sine);
    put(y[at + half], b * cosine + a * sine);
  }
}
VWN_FLOATS(rotary,
           (const real *x, real *y, const float *table, int64_t pairs, int64_t length, int64_t heads, int64_t half,
            float sign),
           (x, y, table, pairs, length, heads, half, sign))

}  // namespace
}  // namespace cuda
}  // namespace vwn
