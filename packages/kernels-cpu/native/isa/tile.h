/**
 * The register tile that every matrix product here is made of: C[MR × NV·W] = A[MR × K] · B[K × NV·W]. A is read one
 * broadcast element at a time through two strides (so that a transposed A needs no copy), B and C by whole vectors. C is
 * float32, or bf16 that the sums are rounded to.
 */
#pragma once
#include "simd.h"

namespace vwn {
namespace VWN_ISA {

/** Vectors a tile row holds at most, and rows at that width: as many accumulators as leave registers for B and A. */
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int tileVectors = 4, tileRows = 6;
#else
constexpr int tileVectors = 2, tileRows = 6;
#endif
/** Rows of a tile of `vectors` vectors. */
constexpr int rowsOfTile(int vectors) {
  return vectors >= 4 ? 6 : vectors == 3 ? (tileVectors == 4 ? 8 : 4) : vectors == 2 ? (tileVectors == 4 ? 12 : 6) : (tileVectors == 4 ? 14 : 8);
}

/** What an element of A and B is: a float32, or a word of two bf16, neighbours along K (then K counts words). */
enum class Element { single, pair };

template <Element element>
VWN_INLINE vf splatElement(const float *at) {
  if constexpr (element == Element::single) return splat(*at);
  int32_t bits;
  std::memcpy(&bits, at, 4);
  return (vf)splati(bits);
}

/** sum + a·b, or for pairs sum + the dot product of each lane's two. */
template <Element element>
VWN_INLINE vf multiplyAdd(vf sum, vf a, vf b) {
  if constexpr (element == Element::single) return sum + a * b;
  else return dotPairs(sum, a, b);
}

/** One of the products whose sum a tile holds: Σ over k < K of a[i·rowStride + k·stride] · b[k·ldb + j]. */
template <Element element = Element::single>
struct Factors {
  int64_t K;
  const float *a;
  int64_t rowStride, stride;
  const float *b;
  int64_t ldb;
};

template <int MR, int NV, Element element>
VWN_INLINE void accumulate(vf (&sum)[MR][NV], int64_t row, int64_t column, const Factors<element> &of) {
  const float *a = of.a + row * of.rowStride, *b = of.b + column;
  int64_t k = 0;
  if constexpr (MR * NV <= 4) {
    // So few sums would wait for themselves: every second k goes to sums of its own.
    vf odd[MR][NV] = {};
    for (; k + 2 <= of.K; k += 2, a += 2 * of.stride, b += 2 * of.ldb)
#pragma GCC unroll 16
      for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
        for (int j = 0; j < NV; j++) {
          sum[i][j] = multiplyAdd<element>(sum[i][j], splatElement<element>(a + i * of.rowStride), load(b + j * W));
          odd[i][j] = multiplyAdd<element>(odd[i][j], splatElement<element>(a + i * of.rowStride + of.stride), load(b + of.ldb + j * W));
        }
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
      for (int j = 0; j < NV; j++) sum[i][j] += odd[i][j];
  }
  for (; k < of.K; k++, a += of.stride, b += of.ldb) {
    vf each[NV];
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) each[j] = load(b + j * W);
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++) {
      const vf left = splatElement<element>(a + i * of.rowStride);
#pragma GCC unroll 4
      for (int j = 0; j < NV; j++) sum[i][j] = multiplyAdd<element>(sum[i][j], left, each[j]);
    }
  }
}

template <int MR, int NV, class Start, class C, class... Products>
VWN_INLINE void tile(int64_t row, int64_t column, const Start &start, C *c, int64_t ldc, const Products &...products) {
  vf sum[MR][NV];
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) sum[i][j] = start(row + i, column + j * W);
  (accumulate(sum, row, column, products), ...);
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) store(c + (row + i) * ldc + column + j * W, sum[i][j]);
}

template <int NV, int MR, class... Rest>
VWN_INLINE void tileOfRows(int64_t rows, int64_t row, const Rest &...rest) {
  if constexpr (MR > 0) {
    if (rows == MR) return tile<MR, NV>(row, rest...);
    tileOfRows<NV, MR - 1>(rows, row, rest...);
  }
}

/** One column of tiles: M rows of any number, NV vectors. */
template <int NV, class... Rest>
__attribute__((noinline)) void tileColumn(int64_t M, const Rest &...rest) {
  constexpr int MR = rowsOfTile(NV);
  // Tiles of like heights: few rows would wait for each other's sums.
  const int64_t tiles = (M + MR - 1) / MR, height = tiles ? (M + tiles - 1) / tiles : 0;
  for (int64_t i = 0; i < M; i += height) tileOfRows<NV, MR>(M - i < height ? M - i : height, i, rest...);
}

struct Zeros {
  inline __attribute__((always_inline)) vf operator()(int64_t, int64_t) const { return vf{}; }
};
template <class T>
struct RowsOf {
  const T *rows;
  int64_t stride;
  inline __attribute__((always_inline)) vf operator()(int64_t i, int64_t j) const { return load(rows + i * stride + j); }
};
using Rows = RowsOf<float>;
/** Row i is that of `rows` times scale[i]. */
template <class Of>
struct Scaled {
  const float *scale;
  Of rows;
  inline __attribute__((always_inline)) vf operator()(int64_t i, int64_t j) const { return splat(scale[i]) * rows(i, j); }
};
template <class A, class B>
struct Plus {
  A a;
  B b;
  inline __attribute__((always_inline)) vf operator()(int64_t i, int64_t j) const { return a(i, j) + b(i, j); }
};

}  // namespace VWN_ISA
}  // namespace vwn
