/**
 * The register tile that every matrix product here is made of: C[MR × NV·W] = A[MR × K] · B[K × NV·W]. A is read one
 * broadcast element at a time through two strides (so that a transposed A needs no copy), B and C by whole vectors.
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

/** What a tile does with what C held: nothing (it is written only), or adds to it. */
enum class Into { fresh, sum };

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

template <int MR, int NV, Into into, Element element = Element::single>
VWN_INLINE void tile(int64_t K, const float *a, int64_t rowStride, int64_t stride, const float *b, int64_t ldb, float *c,
                     int64_t ldc) {
  vf sum[MR][NV];
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) sum[i][j] = into == Into::sum ? load(c + i * ldc + j * W) : vf{};
  for (int64_t k = 0; k < K; k++) {
    vf row[NV];
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) row[j] = load(b + k * ldb + j * W);
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++) {
      const vf each = splatElement<element>(a + i * rowStride + k * stride);
#pragma GCC unroll 4
      for (int j = 0; j < NV; j++) sum[i][j] = multiplyAdd<element>(sum[i][j], each, row[j]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) store(c + i * ldc + j * W, sum[i][j]);
}

template <int NV, Into into, Element element, int MR>
VWN_INLINE void tileOfRows(int rows, int64_t K, const float *a, int64_t rowStride, int64_t stride, const float *b,
                           int64_t ldb, float *c, int64_t ldc) {
  if constexpr (MR > 0) {
    if (rows == MR) return tile<MR, NV, into, element>(K, a, rowStride, stride, b, ldb, c, ldc);
    tileOfRows<NV, into, element, MR - 1>(rows, K, a, rowStride, stride, b, ldb, c, ldc);
  }
}

/** One column of tiles: M rows of any number, NV vectors. */
template <int NV, Into into, Element element>
__attribute__((noinline)) void tileColumn(int64_t M, int64_t K, const float *a, int64_t rowStride, int64_t stride,
                                          const float *b, int64_t ldb, float *c, int64_t ldc) {
  constexpr int MR = rowsOfTile(NV);
  int64_t i = 0;
  for (; i + MR <= M; i += MR)
    tile<MR, NV, into, element>(K, a + i * rowStride, rowStride, stride, b, ldb, c + i * ldc, ldc);
  if (i < M)
    tileOfRows<NV, into, element, MR - 1>(static_cast<int>(M - i), K, a + i * rowStride, rowStride, stride, b, ldb, c + i * ldc,
                                 ldc);
}

/** C[M × N] = or += A·B with N a multiple of W; everything in a core's own caches. */
template <Into into, Element element = Element::single>
VWN_INLINE void smallProduct(int64_t M, int64_t N, int64_t K, const float *a, int64_t rowStride, int64_t stride,
                             const float *b, int64_t ldb, float *c, int64_t ldc) {
  int64_t j = 0;
  for (; j + tileVectors * W <= N; j += tileVectors * W)
    tileColumn<tileVectors, into, element>(M, K, a, rowStride, stride, b + j, ldb, c + j, ldc);
  for (; tileVectors == 4 && j + 2 * W <= N; j += 2 * W)
    tileColumn<2, into, element>(M, K, a, rowStride, stride, b + j, ldb, c + j, ldc);
  for (; j + W <= N; j += W) tileColumn<1, into, element>(M, K, a, rowStride, stride, b + j, ldb, c + j, ldc);
}

}  // namespace VWN_ISA
}  // namespace vwn
