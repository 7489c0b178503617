/** Blocks of a matrix product by the register tiles of tile.h, in float32 or in pairs. */
#pragma once
#include "gemm-pack.h"

namespace vwn {
namespace VWN_ISA {

/** A part of A in the form that tiles read. */
struct ViewOfA {
  const float *data;
  int64_t rowStride;  /* between rows of a tile */
  int64_t stride;     /* between units */
  int64_t tileStride; /* between tiles of tileRows rows */
};

template <bool pairs, int MR, int NV>
VWN_INLINE void oneTile(int64_t K, const float *a, int64_t rowStride, int64_t stride, const float *b, int64_t ldb,
                        float *c, int64_t ldc, bool add) {
  constexpr Element element = pairs ? Element::pair : Element::single;
  const Factors<element> product{K, a, rowStride, stride, b, ldb};
  if (add) tile<MR, NV>(0, 0, Rows{c, ldc}, c, ldc, product);
  else tile<MR, NV>(0, 0, Zeros{}, c, ldc, product);
}

template <bool pairs, int NV, int MR>
void tileOf(int rows, int64_t K, const float *a, int64_t rowStride, int64_t stride, const float *b, int64_t ldb,
            float *c, int64_t ldc, bool add) {
  if constexpr (MR > 0) {
    if (rows == MR) oneTile<pairs, MR, NV>(K, a, rowStride, stride, b, ldb, c, ldc, add);
    else tileOf<pairs, NV, MR - 1>(rows, K, a, rowStride, stride, b, ldb, c, ldc, add);
  }
}

template <bool pairs>
void tileOf(int rows, int vectors, int64_t K, const float *a, int64_t rowStride, int64_t stride, const float *b,
            int64_t ldb, float *c, int64_t ldc, bool add) {
  if (vectors == 1) return tileOf<pairs, 1, tileRows>(rows, K, a, rowStride, stride, b, ldb, c, ldc, add);
  if (vectors == 2) return tileOf<pairs, 2, tileRows>(rows, K, a, rowStride, stride, b, ldb, c, ldc, add);
  if constexpr (tileVectors == 4) {
    if (vectors == 3) return tileOf<pairs, 3, tileRows>(rows, K, a, rowStride, stride, b, ldb, c, ldc, add);
    tileOf<pairs, 4, tileRows>(rows, K, a, rowStride, stride, b, ldb, c, ldc, add);
  }
}

/** How a product is made: an engine of gemm-blocks.h. */
template <bool usesPairs>
struct VectorEngine {
  static constexpr bool pairs = usesPairs;
  static constexpr int64_t step = pairs ? 2 : 1; /* elements of a unit */
  /** Units of K are filled up to a multiple of this, and tasks have a multiple of these rows. */
  static constexpr int64_t unitGrain = 1, rowGrain = tileRows;
  static constexpr int64_t columnsOfPanel = tileVectors * W;
  /**
   * Units of K that one pass over a block of C takes: a panel of B of that depth stays near the core, in its second cache
   * where panels are wide (128 KiB), in its first where they are not (24 KiB with AVX2).
   */
  static constexpr int64_t depthOfPass = panelsAreWide ? 512 : 384;
  /** Rows of a task's block of C. */
  static constexpr int64_t blockRows = 22 * tileRows;
  /** Floats of a block of A, packed in either way. */
  static constexpr int64_t mostOfPackedA = packsTiles ? (blockRows / tileRows + 1) * strideOfTiles(depthOfPass)
                                                      : strideOfUnits(blockRows + tileRows) * depthOfPass;
  /**
   * A float32 B is read where it lies up to so many rows of C, which would not use a copy often enough for it to pay, or if it
   * is small enough (4 MiB) to stay in the caches between those who read it. But not by more than a few tiles where each of its
   * rows, or of the narrow panels' cache lines, falls into the same sets of the first cache: rows of a multiple of 4 KiB.
   */
  static bool readsInPlace(const Product &p) {
    if (pairs || p.b.transposed || p.b.type != VWN_F32 || p.N % W || p.otherCount) return false;
    if (!panelsAreWide) return p.M <= 2 * tileRows;
    if (p.b.ld % 1024 == 0) return p.M <= 4 * tileRows;
    return p.M <= 768 || p.N * p.K <= int64_t{1} << 20;
  }

  /** Whether tiles can read A where it lies. */
  static bool isDirect(const Term &term) {
    const bool wanted = pairs ? term.a.type == VWN_BF16 : term.a.type == VWN_F32;
    return !term.a.transposed && wanted && (!pairs || (term.K % 2 == 0 && term.a.ld % 2 == 0));
  }

  /** Rows [row, row + rows) and units [unit, unit + depth) of A, in `room` where they cannot be read as they lie. */
  static ViewOfA viewOfA(const Term &term, int64_t row, int64_t rows, int64_t unit, int64_t depth, float *room) {
    const Operand &A = term.a;
    const int64_t k = unit * step, elements = term.K - k < depth * step ? term.K - k : depth * step;
    if (isDirect(term)) {
      const int64_t ld = A.ld / step;
      return {static_cast<const float *>(A.data) + row * ld + unit, ld, 1, tileRows * ld};
    }
    const auto pack = [&](const auto *data) {
      if (A.transposed && packsTiles) packTiles<pairs>(data + k * A.ld + row, A.ld, rows, elements, room);
      else if (A.transposed) packUnits<pairs>(data + k * A.ld + row, A.ld, rows, elements, room);
      else packRows<pairs>(data + row * A.ld + k, A.ld, rows, elements, depthOfPass, room);
    };
    if (A.type == VWN_BF16) pack(static_cast<const bf16 *>(A.data));
    else pack(static_cast<const float *>(A.data));
    if (A.transposed && packsTiles) return {room, 1, tileRows, strideOfTiles(depth)};
    if (A.transposed) return {room, 1, strideOfUnits(rows), tileRows};
    return {room, depthOfPass, 1, tileRows * depthOfPass};
  }

  /** All panels of `columns` columns, panelAt(j) being the one at column j, times all rows of `a`. */
  template <class PanelAt>
  static void multiply(const ViewOfA &a, int64_t rows, int64_t columns, int64_t depth, const PanelAt &panelAt, const SumsOfC &sums) {
    for (int64_t j = 0; j < columns; j += columnsOfPanel) {
      const Panel b = panelAt(j);
      for (int64_t i = 0, t = 0; i < rows; i += tileRows, t++) {
        const int height = static_cast<int>(rows - i < tileRows ? rows - i : tileRows);
        tileOf<pairs>(height, static_cast<int>(b.width / W), depth, a.data + t * a.tileStride, a.rowStride, a.stride, b.data,
                      b.ld, sums.data + i * sums.ld + j, sums.ld, sums.add);
      }
    }
  }
  /** Called by each thread when it has all sums of a block. */
  static void finish() {}
};

}  // namespace VWN_ISA
}  // namespace vwn
