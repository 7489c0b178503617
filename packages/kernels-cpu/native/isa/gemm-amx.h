/**
 * Blocks of a matrix product by AMX: two by two tiles of C are summed at once, 32 rows and 32 columns, by four registers of
 * eight; the others hold two tiles of A and two of B.
 */
#pragma once
#include "amx-registers.h"
#include "gemm-pack.h"

namespace vwn {
namespace VWN_ISA {

#if defined(__AMX_BF16__)
/** A of some rows: tile (i, u) begins i·tileStride + u·unitStride words on, its rows `rowBytes` apart. */
struct AmxView {
  const float *data;
  int64_t rowBytes, unitStride, tileStride;
};

/** Sums of `tall` by `wide` tiles over `depth` units, a multiple of 16. */
template <int tall, int wide>
VWN_INLINE void amxSums(const AmxView &a, int64_t depth, const float *b, int64_t ldb, float *c, int64_t ldc, bool add) {
  const int64_t rowOfC = ldc * 4, rowOfB = ldb * 4;
  float *lower = c + amxRows * ldc;
  finishWrites();
  if (add) {
    _tile_loadd(0, c, rowOfC);
    if constexpr (wide == 2) _tile_loadd(1, c + W, rowOfC);
    if constexpr (tall == 2) _tile_loadd(2, lower, rowOfC);
    if constexpr (tall == 2 && wide == 2) _tile_loadd(3, lower + W, rowOfC);
  } else {
    _tile_zero(0);
    if constexpr (wide == 2) _tile_zero(1);
    if constexpr (tall == 2) _tile_zero(2);
    if constexpr (tall == 2 && wide == 2) _tile_zero(3);
  }
  const float *upperA = a.data, *lowerA = a.data + a.tileStride;
  for (int64_t u = 0; u < depth; u += amxUnits, upperA += a.unitStride, lowerA += a.unitStride, b += amxUnits * ldb) {
    _tile_loadd(6, b, rowOfB);
    _tile_loadd(4, upperA, a.rowBytes);
    if constexpr (wide == 2) _tile_loadd(7, b + W, rowOfB);
    if constexpr (tall == 2) _tile_loadd(5, lowerA, a.rowBytes);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (wide == 2) _tile_dpbf16ps(1, 4, 7);
    if constexpr (tall == 2) _tile_dpbf16ps(2, 5, 6);
    if constexpr (tall == 2 && wide == 2) _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, c, rowOfC);
  if constexpr (wide == 2) _tile_stored(1, c + W, rowOfC);
  if constexpr (tall == 2) _tile_stored(2, lower, rowOfC);
  if constexpr (tall == 2 && wide == 2) _tile_stored(3, lower + W, rowOfC);
}

/** A's rows [0, rows) and elements [0, depth) as [row tiles][unit tiles][16][16], with 0 in what exceeds `depth`. */
template <class T>
void packAmxTiles(const T *a, int64_t ld, bool transposed, int64_t rows, int64_t depth, float *to) {
  for (int64_t i = 0; i < rows; i += amxRows)
    for (int64_t k = 0; k < depth; k += 2 * amxUnits, to += amxTile) {
      const int64_t height = rows - i < amxRows ? rows - i : amxRows, left = depth - k;
      vf block[W];
      if (transposed) {
#pragma GCC unroll 16
        for (int u = 0; u < W; u++)
          block[u] = 2 * u < left ? loadUnits<true>(a + (k + 2 * u) * ld + i, ld, 2 * u + 1 < left, height) : vf{};
        transposeBlock(block);
      } else {
        loadBlock<true>(a + i * ld + k, ld, height, left, block);
      }
      storeAmxTile(block, to);
    }
}

/** As VectorEngine of gemm-vectors.h. */
struct AmxEngine {
  static constexpr bool pairs = true;
  static constexpr int64_t step = 2, unitGrain = amxUnits, rowGrain = 2 * amxRows, columnsOfPanel = 2 * W;
  /** A panel of that depth fits the first cache, 32 KiB, while a block of A streams past it. */
  static constexpr int64_t depthOfPass = 256, blockRows = 256;
  static constexpr int64_t mostOfPackedA = (blockRows + rowGrain) * depthOfPass;
  static bool readsInPlace(const Product &) { return false; }

  /** Rows of a multiple of 4 KiB would all want the same few lines of the first cache. */
  static bool isDirect(const Term &term) {
    const bool whole = term.K % (2 * amxUnits) == 0 && term.a.ld % 2 == 0 && term.a.ld % 2048 != 0;
    return !term.a.transposed && term.a.type == VWN_BF16 && whole;
  }

  static AmxView viewOfA(const Term &term, int64_t row, int64_t rows, int64_t unit, int64_t depth, float *room) {
    const Operand &A = term.a;
    const int64_t k = unit * step, elements = term.K - k < depth * step ? term.K - k : depth * step;
    if (isDirect(term)) {
      const int64_t words = A.ld / 2;
      return {static_cast<const float *>(A.data) + row * words + unit, A.ld * 2, amxUnits, amxRows * words};
    }
    const int64_t at = A.transposed ? k * A.ld + row : row * A.ld + k;
    if (A.type == VWN_BF16) packAmxTiles(static_cast<const bf16 *>(A.data) + at, A.ld, A.transposed, rows, elements, room);
    else packAmxTiles(static_cast<const float *>(A.data) + at, A.ld, A.transposed, rows, elements, room);
    return {room, 64, amxTile, amxRows * depth};
  }

  template <class PanelAt>
  static void multiply(const AmxView &a, int64_t rows, int64_t columns, int64_t depth, const PanelAt &panelAt, const SumsOfC &sums) {
    const int64_t whole = rows / rowGrain * rowGrain, rest = rows - whole;
    const auto some = [&](int64_t from, int64_t to) {
      for (int64_t j = 0; j < columns; j += columnsOfPanel) {
        const Panel b = panelAt(j);
        for (int64_t i = from; i < to; i += rowGrain) {
          const AmxView view{a.data + i / amxRows * a.tileStride, a.rowBytes, a.unitStride, a.tileStride};
          float *c = sums.data + i * sums.ld + j;
          const bool isTall = to - i > amxRows, isWide = b.width > W;
          if (isTall && isWide) amxSums<2, 2>(view, depth, b.data, b.ld, c, sums.ld, sums.add);
          else if (isTall) amxSums<2, 1>(view, depth, b.data, b.ld, c, sums.ld, sums.add);
          else if (isWide) amxSums<1, 2>(view, depth, b.data, b.ld, c, sums.ld, sums.add);
          else amxSums<1, 1>(view, depth, b.data, b.ld, c, sums.ld, sums.add);
        }
      }
    };
    if (whole) {
      AmxShapes(amxRows, amxRows).use();
      some(0, whole);
    }
    if (rest) {
      AmxShapes(rest < amxRows ? rest : amxRows, rest > amxRows ? rest - amxRows : amxRows).use();
      some(whole, rows);
    }
  }
  static void finish() { releaseAmx(); }
};
#else
struct AmxEngine {};
#endif

}  // namespace VWN_ISA
}  // namespace vwn
