/** Sums of products of small matrices, in a core's own caches, by vectors or, for pairs, by AMX. */
#pragma once
#include "amx-products.h"
#include "tile.h"

namespace vwn {
namespace VWN_ISA {

/** What a tile does with what C held: nothing (it is written only), or adds to it. */
enum class Into { fresh, sum };

template <class Product>
constexpr bool isOfPairs = std::is_same_v<Product, Factors<Element::pair>>;

/** As sumOfProducts, by vectors; C is float32 or bf16. */
template <class Start, class C, class... Products>
VWN_INLINE void tilesOfProducts(int64_t M, int64_t N, const Start &start, C *c, int64_t ldc, const Products &...products) {
  int64_t j = 0;
  for (; j + tileVectors * W <= N; j += tileVectors * W) tileColumn<tileVectors>(M, j, start, c, ldc, products...);
  for (; tileVectors == 4 && j + 2 * W <= N; j += 2 * W) tileColumn<2>(M, j, start, c, ldc, products...);
  for (; j + W <= N; j += W) tileColumn<1>(M, j, start, c, ldc, products...);
}

/**
 * C[M × N] = start + Σ A·B over all products, with N a multiple of W; everything in a core's own caches. start(i, j) is
 * the vector at row i and column j; it may be what C holds there.
 */
template <class Start, class... Products>
VWN_INLINE void sumOfProducts(int64_t M, int64_t N, const Start &start, float *c, int64_t ldc, const Products &...products) {
  if constexpr (hasAmx && (isOfPairs<Products> && ...))
    if (usesAmx() && amxSumOfProducts(M, N, start, c, ldc, products...)) return;
  tilesOfProducts(M, N, start, c, ldc, products...);
}

/** As sumOfProducts, rounded to bf16. `room`: [M × N], for AMX, whose sums are float32. */
template <class Start, class... Products>
VWN_INLINE void halvesOfProducts(int64_t M, int64_t N, const Start &start, bf16 *c, int64_t ldc, float *room,
                                 const Products &...products) {
  if (!hasAmx || !usesAmx()) return tilesOfProducts(M, N, start, c, ldc, products...);
  sumOfProducts(M, N, start, room, N, products...);
  for (int64_t i = 0; i < M; i++)
    for (int64_t j = 0; j < N; j += W) store(c + i * ldc + j, load(room + i * N + j));
}

/** C[M × N] = or += A·B. */
template <Into into, Element element = Element::single>
VWN_INLINE void smallProduct(int64_t M, int64_t N, int64_t K, const float *a, int64_t rowStride, int64_t stride,
                             const float *b, int64_t ldb, float *c, int64_t ldc) {
  const Factors<element> product{K, a, rowStride, stride, b, ldb};
  if constexpr (into == Into::fresh) sumOfProducts(M, N, Zeros{}, c, ldc, product);
  else sumOfProducts(M, N, Rows{c, ldc}, c, ldc, product);
}

}  // namespace VWN_ISA
}  // namespace vwn
