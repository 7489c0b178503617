/**
 * Vectors of W float32 lanes by the compiler's vector extensions: one text for every instruction set. Each file of
 * this folder is compiled once per set (VWN_ISA names its namespace) and chosen at load time by dispatch.cc.
 */
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#ifndef VWN_ISA
#error "compile with -DVWN_ISA=<namespace>"
#endif

namespace vwn {
namespace VWN_ISA {

#if defined(__AVX512F__)
constexpr int W = 16;
#elif defined(__AVX2__)
constexpr int W = 8;
#else
constexpr int W = 4;
#endif

using bf16 = uint16_t;
typedef float vf __attribute__((vector_size(W * 4)));
typedef int32_t vi __attribute__((vector_size(W * 4)));
typedef uint32_t vu __attribute__((vector_size(W * 4)));
typedef uint16_t vh __attribute__((vector_size(W * 2)));
typedef float vf_any __attribute__((vector_size(W * 4), aligned(4), may_alias));
typedef uint16_t vh_any __attribute__((vector_size(W * 2), aligned(2), may_alias));
typedef int32_t vi_any __attribute__((vector_size(W * 4), aligned(4), may_alias));

#define VWN_INLINE static inline __attribute__((always_inline))
/** For loops over a block of memory: inlined side by side they take each other's registers. */
#define VWN_APART [[maybe_unused]] static __attribute__((noinline))

VWN_INLINE vf splat(float x) { return x - vf{}; }
VWN_INLINE vi splati(int32_t x) { return x - vi{}; }
VWN_INLINE vf load(const float *p) { return *reinterpret_cast<const vf_any *>(p); }
VWN_INLINE void store(float *p, vf x) { *reinterpret_cast<vf_any *>(p) = x; }

/** bf16 is the upper half of a float32. */
VWN_INLINE vf widen(vh x) {
#if defined(__AVX512F__)
  // Compilers make five instructions of the conversion below.
  return (vf)((vu)_mm512_cvtepu16_epi32((__m256i)x) << 16);
#elif defined(__AVX2__)
  return (vf)((vu)_mm256_cvtepu16_epi32((__m128i)x) << 16);
#else
  return (vf)(__builtin_convertvector(x, vu) << 16);
#endif
}
VWN_INLINE vf load(const bf16 *p) { return widen(*reinterpret_cast<const vh_any *>(p)); }

/** Rounds to nearest even; NaN stays NaN (its quiet bit is set before the payload is cut). */
VWN_INLINE vh narrow(vf x) {
#if defined(__AVX512BF16__)
  return (vh)_mm512_cvtneps_pbh((__m512)x);
#else
  const vu bits = (vu)x;
  const vu rounded = (bits + (vu)(splati(0x7fff)) + ((bits >> 16) & 1u)) >> 16;
  const vu quiet = (bits >> 16) | 0x40u;
  return __builtin_convertvector((vu)(x != x ? (vi)quiet : (vi)rounded), vh);
#endif
}
#if defined(__AVX512BF16__)
constexpr bool hasPairs = true;
#else
constexpr bool hasPairs = false;
#endif
/** Lanes are words of two bf16: sum + a's lower · b's lower + a's upper · b's upper. Fast where `hasPairs`. */
VWN_INLINE vf dotPairs(vf sum, vf a, vf b) {
#if defined(__AVX512BF16__)
  return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#else
  const vu upper = (vu)(splati(static_cast<int32_t>(0xffff0000u)));
  return sum + (vf)((vu)a << 16) * (vf)((vu)b << 16) + (vf)((vu)a & upper) * (vf)((vu)b & upper);
#endif
}

VWN_INLINE void store(bf16 *p, vf x) { *reinterpret_cast<vh_any *>(p) = narrow(x); }

VWN_INLINE float toFloat(float x) { return x; }
VWN_INLINE float toFloat(bf16 x) {
  const uint32_t bits = static_cast<uint32_t>(x) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
VWN_INLINE void fromFloat(float *p, float x) { *p = x; }
VWN_INLINE void fromFloat(bf16 *p, float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  *p = x != x ? static_cast<bf16>((bits >> 16) | 0x40u) : static_cast<bf16>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

/** The first `count` lanes from memory, the others 0; touches no byte beyond them. */
VWN_INLINE vf loadFirst(const float *p, int64_t count) {
#if defined(__AVX512F__)
  return (vf)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1u), p);
#else
  vf x = {};
  std::memcpy(&x, p, static_cast<size_t>(count) * 4);
  return x;
#endif
}
VWN_INLINE vf loadFirst(const bf16 *p, int64_t count) {
  vh x = {};
  std::memcpy(&x, p, static_cast<size_t>(count) * 2);
  return widen(x);
}
VWN_INLINE void storeFirst(float *p, vf x, int64_t count) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1u), (__m512)x);
#else
  std::memcpy(p, &x, static_cast<size_t>(count) * 4);
#endif
}
VWN_INLINE void storeFirst(bf16 *p, vf x, int64_t count) {
  const vh narrowed = narrow(x);
  std::memcpy(p, &narrowed, static_cast<size_t>(count) * 2);
}

/** body(offset, count) over [0, size) in vectors; count < W only in the last. */
template <class Full, class Last>
VWN_INLINE void eachVector(int64_t size, const Full &full, const Last &last) {
  int64_t i = 0;
  for (; i + W <= size; i += W) full(i);
  if (i < size) last(i, size - i);
}

/** sum = a + b, rows of `size`; sum may be either. */
template <class T>
VWN_INLINE void addRows(int64_t size, const T *a, const T *b, T *sum) {
  eachVector(
      size, [&](int64_t i) { store(sum + i, load(a + i) + load(b + i)); },
      [&](int64_t i, int64_t count) { storeFirst(sum + i, loadFirst(a + i, count) + loadFirst(b + i, count), count); });
}

/** The second where one of them is NaN. Compilers make a comparison and a choice of what is one instruction. */
VWN_INLINE vf vmax(vf a, vf b) {
#if defined(__AVX512F__)
  return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
  return (vf)_mm_max_ps((__m128)a, (__m128)b);
#else
  return a > b ? a : b;
#endif
}
VWN_INLINE vf vmin(vf a, vf b) {
#if defined(__AVX512F__)
  return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
  return (vf)_mm_min_ps((__m128)a, (__m128)b);
#else
  return a < b ? a : b;
#endif
}

VWN_INLINE float sumLanes(vf x) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps((__m512)x);
#else
  float total = 0;
  for (int i = 0; i < W; i++) total += x[i];
  return total;
#endif
}
VWN_INLINE float maxLanes(vf x) {
  float largest = x[0];
  for (int i = 1; i < W; i++) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

/** e^r for |r| ≤ ln 2 / 2, relative error below 2e-7. */
VWN_INLINE vf expNearZero(vf r) {
  vf p = splat(1.9875691e-4f);
  p = p * r + 1.3981999e-3f;
  p = p * r + 8.3334519e-3f;
  p = p * r + 4.1665796e-2f;
  p = p * r + 1.6666665e-1f;
  p = p * r + 5.0000001e-1f;
  return p * (r * r) + (r + 1.0f);
}

/** e^x, relative error below 2e-7; 0 below −87.3, +Inf above 88.73, NaN stays NaN. */
VWN_INLINE vf vexp(vf x) {
  const vf magic = splat(12582912.0f);  // 1.5·2^23: adding it rounds to an integer
#if defined(__AVX512F__)
  // The second operand is what these return of a NaN. scalef itself goes to infinity.
  const __m512 limited = _mm512_min_ps((__m512)splat(89.0f), _mm512_max_ps((__m512)splat(-104.0f), (__m512)x));
  const vf n = ((vf)limited * 1.44269504f + magic) - magic;
  const vf r = ((vf)limited - n * 0.693145751953125f) - n * 1.42860677e-6f;
  const __mmask16 normal = _mm512_cmp_ps_mask((__m512)x, (__m512)splat(-87.33f), _CMP_NLT_UQ);
  return (vf)_mm512_maskz_scalef_ps(normal, (__m512)expNearZero(r), (__m512)n);
#else
  const vf limited = vmin(vmax(x, splat(-87.33f)), splat(88.74f));
  const vf shifted = limited * 1.44269504f + magic;
  const vf n = shifted - magic;
  const vf r = (limited - n * 0.693145751953125f) - n * 1.42860677e-6f;
  // 2^n in two factors, for n = 128 has no exponent of its own.
  const vi exponent = (vi)shifted - (vi)magic;
  const vi half = exponent >> 1;
  const vf first = (vf)((half + 127) << 23), second = (vf)((exponent - half + 127) << 23);
  vf y = expNearZero(r) * first * second;
  y = x < splat(-87.33f) ? splat(0.0f) : y;
  return x != x ? x : y;
#endif
}

/** 1/x by the hardware's estimate and one Newton step; x must be finite, normal and not 0. */
VWN_INLINE vf fastReciprocal(vf x) {
#if defined(__AVX512F__)
  const vf y = (vf)_mm512_rcp14_ps((__m512)x);
  return y * (2.0f - x * y);
#else
  return 1.0f / x;
#endif
}

VWN_INLINE vf vsigmoid(vf x) { return 1.0f / (1.0f + vexp(-x)); }

/** tanh by our own minimax fit x·P(x²)/Q(x²) on |x| ≤ 8, relative error below 4e-7; from 8.5 on exactly ±1. */
VWN_INLINE vf vtanh(vf x) {
  // A NaN is the second operand of these, which vmax and vmin then return. At 8.5 the fit is above 1 by four times float32's
  // precision, more than rounding takes from it, so that the limits of the result make 1 of it with any reciprocal.
  const vf limited = vmin(splat(8.5f), vmax(splat(-8.5f), x));
  const vf u = limited * limited;
  vf p = splat(2.3508457767e-11f);
  p = p * u - 1.4704166751e-8f;
  p = p * u + 9.8786433189e-6f;
  p = p * u + 2.9858601500e-3f;
  p = p * u + 1.2979221754e-1f;
  p = p * u + 9.9999998107e-1f;
  vf q = splat(2.3720298534e-4f);
  q = q * u + 2.4027917315e-2f;
  q = q * u + 4.6312537792e-1f;
  q = q * u + 1.0f;
  return vmin(splat(1.0f), vmax(splat(-1.0f), limited * p * fastReciprocal(q)));
}

/** tanh for what is rounded to bf16 anyway: as above with |x| ≤ 5 and fewer terms, relative error below 2e-4 also beyond. */
VWN_INLINE vf vtanhShort(vf x) {
  const vf limited = vmin(splat(5.0f), vmax(splat(-5.0f), x));
  const vf u = limited * limited;
  const vf p = (splat(6.705628751e-4f) * u + 0.1024176085f) * u + 0.9999480478f;
  const vf q = (splat(1.281986199e-2f) * u + 0.4354323964f) * u + 1.0f;
#if defined(__AVX512F__)
  return limited * p * (vf)_mm512_rcp14_ps((__m512)q);
#else
  return limited * p / q;
#endif
}

VWN_INLINE vf vsqrt(vf x) {
#if defined(__AVX512F__)
  return (vf)_mm512_sqrt_ps((__m512)x);
#elif defined(__AVX2__)
  return (vf)_mm256_sqrt_ps((__m256)x);
#else
  for (int i = 0; i < W; i++) x[i] = std::sqrt(x[i]);
  return x;
#endif
}

}  // namespace VWN_ISA
}  // namespace vwn
