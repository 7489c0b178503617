/**
 * Copies of operands in the order in which tiles read them. A "unit" is what one multiply-add takes of K: one float32,
 * or with AVX-512-BF16 a pair of bf16, the lower half first.
 *   B: panels of up to tileVectors·W columns, each [units of K][columns]; columns beyond N are 0.
 *   A: rows of units, or, where A is transposed, tile by tile: [tiles][units of K][tileRows], or as it lies:
 *      [units of K][rows], see packsTiles.
 */
#pragma once
#include "gemm.h"
#include "pairs.h"
#include "tile.h"
#include "transpose.h"
#include "vwn_kernels.h"

namespace vwn {
namespace VWN_ISA {

/** Whether a row of a panel is several cache lines, of which a processor finds the next by itself. */
constexpr bool panelsAreWide = tileVectors * W * 4 >= 256;

/** Columns of B, `width` of them, in units. */
struct Panel {
  const float *data;
  int64_t ld, width;
};

/** The part of C that an engine sums. */
struct SumsOfC {
  float *data;
  int64_t ld;
  bool add; /* to what is there */
};

/** Units (one lane each) of W columns of row k (and k + 1), zero beyond `count` columns and K. */
template <bool pairs, class T>
VWN_INLINE vf loadUnits(const T *row, int64_t ld, bool hasSecond, int64_t count) {
  if constexpr (pairs) {
    if (count >= W) return interleave(toHalf(row), hasSecond ? toHalf(row + ld) : vh{});
    return interleave(toHalfFirst(row, count), hasSecond ? toHalfFirst(row + ld, count) : vh{});
  } else {
    return count >= W ? load(row) : loadFirst(row, count);
  }
}

template <bool pairs, class T>
void packPanelOfRows(const T *b, int64_t ld, int64_t K, int64_t columns, int64_t width, float *to) {
  constexpr int step = pairs ? 2 : 1;
  for (int64_t k = 0; k < K; k += step)
    for (int64_t j = 0; j < width; j += W, to += W) {
      const int64_t count = columns - j;
      store(to, count <= 0 ? vf{} : loadUnits<pairs>(b + k * ld + j, ld, k + 1 < K, count));
    }
}

template <bool pairs, class T>
void packPanelOfColumns(const T *b, int64_t ld, int64_t K, int64_t columns, int64_t width, float *to) {
  constexpr int step = pairs ? 2 : 1;
  const int64_t units = (K + step - 1) / step;
  for (int64_t u = 0; u < units; u += W)
    for (int64_t j = 0; j < width; j += W) {
      vf block[W];
      loadBlock<pairs>(b + j * ld + u * step, ld, columns - j, K - u * step, block);
      transposeBlock(block);
      const int64_t height = units - u < W ? units - u : W;
      for (int64_t i = 0; i < height; i++) store(to + (u + i) * width + j, block[i]);
    }
}

/** Columns [from, from + columns) of B as one panel `width` wide. */
template <bool pairs>
void packPanel(const Operand &b, int64_t K, int64_t from, int64_t columns, int64_t width, float *to) {
  const auto pack = [&](const auto *data) {
    if (b.transposed) packPanelOfColumns<pairs>(data + from * b.ld, b.ld, K, columns, width, to);
    else packPanelOfRows<pairs>(data + from, b.ld, K, columns, width, to);
  };
  if (b.type == VWN_BF16) pack(static_cast<const bf16 *>(b.data));
  else pack(static_cast<const float *>(b.data));
}

/** Rows [from, from + rows) and elements [k, k + depth) of an A stored by rows, as rows of `stride` units. */
template <bool pairs, class T>
void packRows(const T *a, int64_t ld, int64_t rows, int64_t depth, int64_t stride, float *to) {
  for (int64_t i = 0; i < rows; i++) {
    const T *row = a + i * ld;
    float *out = to + i * stride;
    if constexpr (pairs) {
      for (int64_t k = 0; k < depth; k += 2 * W)
        store(out + k / 2, depth - k >= 2 * W ? loadPairs(row + k) : loadFirstPairs(row + k, depth - k));
    } else {
      for (int64_t k = 0; k < depth; k += W) store(out + k, depth - k >= W ? load(row + k) : loadFirst(row + k, depth - k));
    }
  }
}

/**
 * Narrow panels make few multiply-adds of each element of A, so that it matters how many cache lines a tile's rows come from:
 * one for every unit of a block as it lies, or all of them one after the other.
 */
constexpr bool packsTiles = !panelsAreWide;

/** Floats from unit to unit of a packed transposed A: one vector more than its rows, lest all units share cache sets. */
constexpr int64_t strideOfUnits(int64_t rows) { return (rows + W - 1) / W * W + W; }

/** How many rows of memory packUnits asks for ahead: they lie pages apart, where the processor does not look by itself. */
constexpr int64_t rowsAhead = 8;

/** Asks for row k + rowsAhead, or with pairs also for the one after it, where there is one among `depth`. */
template <bool pairs, class T>
VWN_INLINE void askForRow(const T *row, int64_t ld, int64_t rows, int64_t k, int64_t depth) {
  constexpr int step = pairs ? 2 : 1;
  if (k + rowsAhead + step > depth) return;
  for (int second = 0; second < step; second++)
    for (int64_t i = 0; i < rows; i += 64 / static_cast<int64_t>(sizeof(T)))
      __builtin_prefetch(row + (rowsAhead + second) * ld + i, 0, 2);
}

/** The same of an A stored [K, M], as [units][strideOfUnits(rows)]. */
template <bool pairs, class T>
void packUnits(const T *a, int64_t ld, int64_t rows, int64_t depth, float *to) {
  constexpr int step = pairs ? 2 : 1;
  for (int64_t k = 0; k < depth; k += step, to += strideOfUnits(rows)) {
    const T *row = a + k * ld;
    askForRow<pairs>(row, ld, rows, k, depth);
    for (int64_t i = 0; i < rows; i += W) store(to + i, loadUnits<pairs>(row + i, ld, k + 1 < depth, rows - i));
  }
}

/** Vectors that one unit of a tile is stored by; what the last exceeds the tile by, the next unit overwrites. */
constexpr int64_t vectorsOfTileUnit = (tileRows + W - 1) / W;
/** Floats from tile to tile of `units` units. */
constexpr int64_t strideOfTiles(int64_t units) { return units * tileRows + vectorsOfTileUnit * W; }

/** The same as [tiles][units][tileRows]. */
template <bool pairs, class T>
void packTiles(const T *a, int64_t ld, int64_t rows, int64_t depth, float *to) {
  constexpr int step = pairs ? 2 : 1;
  const int64_t stride = strideOfTiles((depth + step - 1) / step);
  for (int64_t k = 0; k < depth; k += step, to += tileRows) {
    const T *row = a + k * ld;
    askForRow<pairs>(row, ld, rows, k, depth);
    float *tile = to;
    for (int64_t i = 0; i < rows; i += tileRows, tile += stride)
      for (int64_t v = 0; v < vectorsOfTileUnit * W && i + v < rows; v += W)
        store(tile + v, loadUnits<pairs>(row + i + v, ld, k + 1 < depth, rows - i - v));
  }
}

}  // namespace VWN_ISA
}  // namespace vwn
