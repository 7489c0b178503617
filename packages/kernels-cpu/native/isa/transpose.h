/** Transposition of W × W blocks in registers, and of whole matrices by such blocks. */
#pragma once
#include <utility>

#include "simd.h"

namespace vwn {
namespace VWN_ISA {

/** Lane i of the result is lane LaneOf::at(i) of a and b behind each other. clang wants constants, GCC before 12 a vector. */
template <class LaneOf, size_t... lane>
VWN_INLINE vf lanesOf(vf a, vf b, std::index_sequence<lane...>) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, LaneOf::at(lane)...);
#else
  const vi lanes = {LaneOf::at(lane)...};
  return __builtin_shuffle(a, b, lanes);
#endif
}
template <class LaneOf>
VWN_INLINE vf lanesOf(vf a, vf b) {
  return lanesOf<LaneOf>(a, b, std::make_index_sequence<W>{});
}

template <int distance>
struct LowerOfPair {
  static constexpr int at(int lane) { return lane & distance ? W + lane - distance : lane; }
};
template <int distance>
struct UpperOfPair {
  static constexpr int at(int lane) { return lane & distance ? W + lane : lane + distance; }
};

/** Swaps lanes that differ in bit `distance` between two rows: log2(W) such stages transpose a block. */
template <int distance>
VWN_INLINE void exchange(vf &a, vf &b) {
  const vf x = lanesOf<LowerOfPair<distance>>(a, b);
  b = lanesOf<UpperOfPair<distance>>(a, b);
  a = x;
}

template <int distance>
VWN_INLINE void exchangeAll(vf *rows) {
#pragma GCC unroll 16
  for (int i = 0; i < W; i++)
    if (!(i & distance)) exchange<distance>(rows[i], rows[i | distance]);
}

VWN_INLINE void transposeBlock(vf *rows) {
  exchangeAll<1>(rows);
  exchangeAll<2>(rows);
  if constexpr (W >= 8) exchangeAll<4>(rows);
  if constexpr (W >= 16) exchangeAll<8>(rows);
}

template <int distance>
VWN_INLINE void foldFirst(vf *rows, int count) {
#pragma GCC unroll 16
  for (int i = 0; i < W; i += 2 * distance) {
    if (i >= count) break;
    exchange<distance>(rows[i], rows[i + distance]);
    rows[i] += rows[i + distance];
  }
}

/** Lane i of the result is the sum over all lanes of rows[i], which are 0 from `count` on; the rows are lost. */
VWN_INLINE vf sumsOfFirstRows(vf *rows, int count) {
  foldFirst<1>(rows, count);
  foldFirst<2>(rows, count);
  if constexpr (W >= 8) foldFirst<4>(rows, count);
  if constexpr (W >= 16) foldFirst<8>(rows, count);
  return rows[0];
}
VWN_INLINE vf sumsOfRows(vf *rows) { return sumsOfFirstRows(rows, W); }

/**
 * to[j·toStride + i] = from[i·fromStride + j] for i < rows, j < columns. Rows up to the next multiple of W are written
 * too, with 0: `to` must have room for them.
 */
template <class T>
VWN_APART void transposePadded(int64_t rows, int64_t columns, const T *from, int64_t fromStride, float *to,
                                int64_t toStride) {
  for (int64_t i = 0; i < rows; i += W) {
    const int64_t height = rows - i < W ? rows - i : W;
    for (int64_t j = 0; j < columns; j += W) {
      const int64_t width = columns - j < W ? columns - j : W;
      vf block[W];
#pragma GCC unroll 16
      for (int k = 0; k < W; k++)
        block[k] = k >= height ? vf{} : width == W ? load(from + (i + k) * fromStride + j)
                                                   : loadFirst(from + (i + k) * fromStride + j, width);
      transposeBlock(block);
#pragma GCC unroll 16
      for (int k = 0; k < W; k++)
        if (k < width) store(to + (j + k) * toStride + i, block[k]);
    }
  }
}

}  // namespace VWN_ISA
}  // namespace vwn
