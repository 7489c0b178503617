/**
 * bf16 operands of products as words of two neighbours along K, the lower half first, for processors that multiply such
 * pairs. Words stand in float memory, but no arithmetic on floats ever touches them.
 */
#pragma once
#include <type_traits>

#include "simd.h"

namespace vwn {
namespace VWN_ISA {

/** Whether products of tensors of T are made of pairs here. */
template <class T>
constexpr bool inPairs = hasPairs && std::is_same_v<T, bf16>;

/** 2·W consecutive elements as W pairs of bf16. */
VWN_INLINE vf loadPairs(const bf16 *p) {
  vf x;
  std::memcpy(&x, p, sizeof x);
  return x;
}
VWN_INLINE void storePairs(bf16 *p, vf x) { std::memcpy(p, &x, sizeof x); }
/** 2·W consecutive numbers, the first W of them in `lower`, as pairs of bf16. */
VWN_INLINE vf narrowBoth(vf lower, vf upper) {
#if defined(__AVX512BF16__)
  return (vf)_mm512_cvtne2ps_pbh((__m512)upper, (__m512)lower);
#else
  const vh low = narrow(lower), high = narrow(upper);
  vf x;
  std::memcpy(&x, &low, sizeof low);
  std::memcpy(reinterpret_cast<char *>(&x) + sizeof low, &high, sizeof high);
  return x;
#endif
}
VWN_INLINE vf loadPairs(const float *p) { return narrowBoth(load(p), load(p + W)); }
template <class T>
VWN_INLINE vf loadFirstPairs(const T *p, int64_t count) {
  T copy[2 * W] = {};
  std::memcpy(copy, p, static_cast<size_t>(count) * sizeof(T));
  return loadPairs(copy);
}

/** W × W block of units: W of each of W rows, 0 in what exceeds `rows` of them and `elements` of each. */
template <bool pairs, class T>
VWN_INLINE void loadBlock(const T *from, int64_t ld, int64_t rows, int64_t elements, vf *block) {
  constexpr int step = pairs ? 2 : 1;
#pragma GCC unroll 16
  for (int j = 0; j < W; j++) {
    const T *row = from + j * ld;
    if (j >= rows) block[j] = vf{};
    else if constexpr (pairs) block[j] = elements >= W * step ? loadPairs(row) : loadFirstPairs(row, elements);
    else block[j] = elements >= W ? load(row) : loadFirst(row, elements);
  }
}

VWN_INLINE vh toHalf(const bf16 *p) { return *reinterpret_cast<const vh_any *>(p); }
VWN_INLINE vh toHalf(const float *p) { return narrow(load(p)); }
template <class T>
VWN_INLINE vh toHalfFirst(const T *p, int64_t count) {
  T copy[W] = {};
  std::memcpy(copy, p, static_cast<size_t>(count) * sizeof(T));
  return toHalf(copy);
}

/** Pairs made of two rows: lane i holds (lower[i], upper[i]). */
VWN_INLINE vf interleave(vh lower, vh upper) {
#if defined(__AVX512BW__)
  alignas(64) static constexpr uint16_t order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                     8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512((__m256i)lower), (__m256i)upper, 1);
  return (vf)_mm512_permutexvar_epi16(_mm512_load_si512(order), both);
#else
  return (vf)(__builtin_convertvector(lower, vu) | (__builtin_convertvector(upper, vu) << 16));
#endif
}

VWN_INLINE vf interleave(vf lower, vf upper) { return interleave(narrow(lower), narrow(upper)); }

/** to[j] = (a[j], b[j]) for j < width, (0, 0) up to the next whole vector; b may be absent (zeros); to may be a. */
template <class T>
VWN_INLINE void interleaveRow(const T *a, const T *b, int64_t width, float *to) {
  eachVector(
      width, [&](int64_t j) { store(to + j, interleave(toHalf(a + j), b ? toHalf(b + j) : vh{})); },
      [&](int64_t j, int64_t n) { store(to + j, interleave(toHalfFirst(a + j, n), b ? toHalfFirst(b + j, n) : vh{})); });
}

/** Rows of [count, width] two by two: [⌈count/2⌉, toStride], the last with zeros when count is odd. */
template <class T>
VWN_APART void interleaveRows(const T *from, int64_t stride, int64_t count, int64_t width, float *to, int64_t toStride) {
  for (int64_t i = 0; i < count; i += 2)
    interleaveRow(from + i * stride, i + 1 < count ? from + (i + 1) * stride : nullptr, width, to + i / 2 * toStride);
}

/** Rows of float32 as bf16, `stride` numbers apart in either. */
VWN_APART void narrowRows(const float *from, int64_t rows, int64_t width, int64_t stride, bf16 *to) {
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < width; j += W) store(to + i * stride + j, load(from + i * stride + j));
}

/** The lower (0) or upper (1) numbers of words. */
VWN_INLINE vf halfOf(vf words, int64_t upper) {
  return upper ? (vf)((vu)words & (vu)(splati(static_cast<int32_t>(0xffff0000u)))) : (vf)((vu)words << 16);
}

/** Pairs of a row of bf16 numbers that begins on a multiple of four bytes and has an even number of them. */
VWN_INLINE const float *asPairs(const bf16 *row) { return reinterpret_cast<const float *>(row); }
VWN_INLINE bf16 *asHalves(float *words) { return reinterpret_cast<bf16 *>(words); }

}  // namespace VWN_ISA
}  // namespace vwn
