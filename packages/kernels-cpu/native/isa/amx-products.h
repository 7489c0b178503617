/**
 * Sums of products of pairs by AMX, of any shape: what exceeds whole tiles, and an A that lies the other way, is copied into
 * tiles first. All registers are whole: the caller has an AmxScope.
 */
#pragma once
#include <type_traits>

#include "amx-registers.h"
#include "pairs.h"
#include "tile.h"
#include "transpose.h"

namespace vwn {
namespace VWN_ISA {

#if defined(__AMX_BF16__)

/** Sums of fewer rows are made by vectors. */
constexpr int64_t leastAmxRows = 4;
/** Tiles of A that are copied at once, 32 KiB on the stack. */
constexpr int64_t mostAmxCopies = 32;

/** 16 rows of A, `rowBytes` apart: tile u begins u·unitStride floats on. */
struct AmxRowsOfA {
  const float *data;
  int64_t rowBytes, unitStride;
};

VWN_INLINE int64_t amxTilesOf(int64_t units) { return (units + amxUnits - 1) / amxUnits; }

/** Whether AMX can read 16 rows of A where they lie. */
VWN_INLINE bool isWholeForAmx(const Factors<Element::pair> &of) { return of.stride == 1 && of.K % amxUnits == 0; }

/** Rows [row, row + height) of A as tiles, 0 in what exceeds them. */
VWN_APART void copyAmxRows(const Factors<Element::pair> &of, int64_t row, int64_t height, float *to) {
  for (int64_t k = 0; k < of.K; k += amxUnits, to += amxTile) {
    const float *from = of.a + row * of.rowStride + k * of.stride;
    const int64_t left = of.K - k;
    vf block[W];
    if (of.stride == 1) {
      loadBlock<false>(from, of.rowStride, height, left, block);
    } else {
      loadBlock<false>(from, of.stride, left, height, block);
      transposeBlock(block);
    }
    storeAmxTile(block, to);
  }
}

/** The tiles of B at column j of its last, incomplete units, filled up with 0. */
template <int wide>
VWN_INLINE void copyAmxUnits(const float *b, int64_t ldb, int64_t units, float *to) {
  for (int64_t u = 0; u < amxUnits; u++)
    for (int64_t j = 0; j < wide * W; j += W) store(to + u * wide * W + j, u < units ? load(b + u * ldb + j) : vf{});
}

template <int wide>
VWN_INLINE void amxStep(const float *a, int64_t rowBytes, const float *b, int64_t ldb) {
  finishWrites();
  _tile_loadd(4, a, rowBytes);
  _tile_loadd(6, b, ldb * 4);
  _tile_dpbf16ps(0, 4, 6);
  if constexpr (wide == 2) {
    _tile_loadd(7, b + W, ldb * 4);
    _tile_dpbf16ps(1, 4, 7);
  }
}

template <int wide>
VWN_INLINE void amxAccumulate(const AmxRowsOfA &a, const float *b, int64_t ldb, int64_t units) {
  int64_t k = 0;
  const float *at = a.data;
  for (; k + amxUnits <= units; k += amxUnits, at += a.unitStride) amxStep<wide>(at, a.rowBytes, b + k * ldb, ldb);
  if (k == units) return;
  alignas(64) float last[amxTile * wide];
  copyAmxUnits<wide>(b + k * ldb, ldb, units - k, last);
  amxStep<wide>(at, a.rowBytes, last, wide * W);
}

/** From what the sums begin with to the registers; `to` is memory that may be written. */
template <int wide, class Start>
VWN_INLINE void amxBegin(const Start &start, int64_t row, int64_t height, int64_t column, float *to, int64_t ld) {
  if constexpr (std::is_same_v<Start, Zeros>) {
    _tile_zero(0);
    if constexpr (wide == 2) _tile_zero(1);
  } else {
    for (int64_t i = 0; i < height; i++)
      for (int64_t j = 0; j < wide * W; j += W) store(to + i * ld + j, start(row + i, column + j));
    finishWrites();
    _tile_loadd(0, to, ld * 4);
    if constexpr (wide == 2) _tile_loadd(1, to + W, ld * 4);
  }
}

/** Columns [column, column + wide·W) of 16 rows or fewer. */
template <int wide, class Start, int count>
VWN_INLINE void amxColumns(int64_t row, int64_t height, int64_t column, const Start &start, float *c, int64_t ldc,
                           const AmxRowsOfA (&a)[count], const Factors<Element::pair> (&products)[count]) {
  alignas(64) float few[amxTile * wide];
  float *place = c + row * ldc + column, *to = height < amxRows ? few : place;
  const int64_t ld = height < amxRows ? wide * W : ldc;
  amxBegin<wide>(start, row, height, column, to, ld);
  for (int p = 0; p < count; p++) amxAccumulate<wide>(a[p], products[p].b + column, products[p].ldb, products[p].K);
  _tile_stored(0, to, ld * 4);
  if constexpr (wide == 2) _tile_stored(1, to + W, ld * 4);
  for (int64_t i = 0; to == few && i < height; i++)
    for (int64_t j = 0; j < wide * W; j += W) store(place + i * ldc + j, load(few + i * ld + j));
}

/** As sumOfProducts of products.h; false, and nothing is done, where vectors do it better. */
template <class Start, class... Products>
VWN_APART bool amxSumOfProducts(int64_t M, int64_t N, const Start &start, float *c, int64_t ldc, const Products &...of) {
  constexpr int count = sizeof...(Products);
  const Factors<Element::pair> products[count] = {of...};
  int64_t copies = 0;
  for (const auto &product : products)
    if (M % amxRows || !isWholeForAmx(product)) copies += amxTilesOf(product.K);
  if (M < leastAmxRows || copies > mostAmxCopies) return false;
  alignas(64) float copied[mostAmxCopies * amxTile];
  for (int64_t row = 0; row < M; row += amxRows) {
    const int64_t height = M - row < amxRows ? M - row : amxRows;
    AmxRowsOfA a[count];
    float *room = copied;
    for (int p = 0; p < count; p++) {
      a[p] = {products[p].a + row * products[p].rowStride, products[p].rowStride * 4, amxUnits};
      if (height == amxRows && isWholeForAmx(products[p])) continue;
      copyAmxRows(products[p], row, height, room);
      a[p] = {room, 64, amxTile};
      room += amxTilesOf(products[p].K) * amxTile;
    }
    int64_t j = 0;
    for (; j + 2 * W <= N; j += 2 * W) amxColumns<2>(row, height, j, start, c, ldc, a, products);
    for (; j + W <= N; j += W) amxColumns<1>(row, height, j, start, c, ldc, a, products);
  }
  return true;
}

#else

template <class... Rest>
VWN_INLINE bool amxSumOfProducts(const Rest &...) {
  return false;
}

#endif

}  // namespace VWN_ISA
}  // namespace vwn
