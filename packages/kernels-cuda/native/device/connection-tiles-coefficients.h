/**
 * Coefficients of a connection step's backward pass by tensor cores, and their gradients; connection-tiles-grad.cu says what they are
 * made of. Warps with the same 16 rows share out the set's tiles of 16 columns; where that leaves warps over, these have a part of the
 * columns of the state, and show their sums to the first of them, which makes coefficients of them. The sums of 8 columns
 * that a lane has are a Sum.
 */
#pragma once
#include <type_traits>

#include "connection-tiles-grad.h"

namespace vwn {
namespace cuda {

/** Tiles of a set of coefficients: how they are shared out, and in how many halves of 8 columns they have any. */
template <class S, bool isWrite_>
struct SetTiles {
  static constexpr bool isWrite = isWrite_;
  static constexpr int tiles = isWrite ? S::tilesOfSet : 1, leastParts = 16 * S::warps / mostTileRows;
  static constexpr int units = tiles < leastParts ? tiles : leastParts, ofWarp = (tiles + units - 1) / units;
  /** Whether warps that are left over have columns of the state; there is room for what they show where numbers are known. */
  static constexpr bool showsSums = S::isKnown;
  static constexpr int halves = isWrite || !S::isNarrow ? 2 : 1;

  static_assert(ofWarp == 1 || !showsSums);
  using Sums = Sum[ofWarp][halves];

  VWN_DEVICE static bool isBeta(int tile) { return isWrite && tile == tiles - 1; }
  VWN_DEVICE static bool has(int tile, int half) { return half == 0 || !(S::isNarrow && isBeta(tile)); }
};

/** What a warp makes: its rows, every units-th tile from `unit` on, and 16 columns of the state, then the ones behind `splits` times as many. */
template <class S, class Tiles>
struct Part {
  int row, unit, split, splits, rowTilesBits;

  VWN_DEVICE Part(const GradRoom &room, int rows) {
    const Share share = shareOf(rows, room.warp, S::warps);
    row = share.row, rowTilesBits = bitsOfTiles(rows);
    unit = share.part % Tiles::units, split = share.part / Tiles::units;
    splits = Tiles::showsSums ? share.parts / Tiles::units : 1;
  }
  VWN_DEVICE bool isThere() const { return split < splits; }
  VWN_DEVICE bool isFirst() const { return split == 0; }
  /** Warps from one that has other columns for the same tile to the next. */
  VWN_DEVICE int warpsApart() const { return Tiles::units << rowTilesBits; }
};

/** What the first warp of a tile has of its products with W, and 1/rms of its rows. */
template <class Tiles>
struct Products {
  typename Tiles::Sums sums;
  float reciprocals[2];

  VWN_DEVICE FloatPair pair(int i, int half, int v) const { return {sums[i][half].values[v], sums[i][half].values[v + 1]}; }
};

VWN_DEVICE float *placeOfShown(const GradRoom &room, int warp, int half) {
  return room.shown() + warp * shownByWarp + half * (shownByWarp / 2) + laneOfWarp() * 4;
}

/** To the first warp of a tile, behind a barrier: sums over other columns. */
template <class S, class Tiles>
VWN_DEVICE void show(const GradRoom &room, const Part<S, Tiles> &part, const typename Tiles::Sums &sums) {
  if constexpr (Tiles::showsSums) {
    if (part.isFirst() || !part.isThere()) return;
#pragma unroll
    for (int half = 0; half < Tiles::halves; half++) putWhole(placeOfShown(room, room.warp, half), sums[0][half]);
  }
}
template <class S, class Tiles>
VWN_DEVICE void addShown(const GradRoom &room, const Part<S, Tiles> &part, typename Tiles::Sums &sums) {
  if constexpr (Tiles::showsSums) {
    if (!part.isFirst()) return;
    for (int split = 1; split < part.splits; split++)
#pragma unroll
      for (int half = 0; half < Tiles::halves; half++) {
        const auto shown = wholeAt<Sum>(placeOfShown(room, room.warp + split * part.warpsApart(), half));
#pragma unroll
        for (int i = 0; i < 4; i++) sums[0][half].values[i] += shown.values[i];
      }
  }
}

/**
 * This warp's part of the products with W, and of squares, which it shows; also(i, tile, k, a): what else is to be made of the left
 * factor a, the state at k, for its i-th tile.
 */
template <class S, class Tiles, class Also>
VWN_DEVICE void makeProducts(const ConnectionShape &s, const GradRoom &room, const Stage &stage, const Part<S, Tiles> &part,
                             typename Tiles::Sums &products, const Also &also) {
  // With 64 slots sums leave no registers.
  std::conditional_t<S::ofToken == mostTileRows, RowNorms, RowNormsByTiles> norms;
  if (!part.isThere()) return;
  for (int k = part.split * 16; k < static_cast<int>(s.db); k += part.splits * 16) {
    const Left a = leftAt(stage.state + part.row * room.stride + k, room.stride);
    if (part.unit == 0) norms.add(a);
#pragma unroll
    for (int i = 0; i < Tiles::ofWarp; i++) {
      const int tile = part.unit + i * Tiles::units;
      if (tile >= Tiles::tiles) break;
      Right b[2];
      if (Tiles::isWrite) rightsOfRows(stage.weights + tile * 16 * room.stride + k, room.stride, b);
      else rightsOfFirstRows(stage.weights + k, room.stride, static_cast<int>(s.m), b);
#pragma unroll
      for (int half = 0; half < Tiles::halves; half++)
        if (Tiles::has(tile, half)) multiplyAdd(products[i][half], a, b[half]);
      also(i, tile, k, a);
    }
  }
  if (part.unit != 0) return;
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const float squares = sumOverLanes(norms.ownSquares(i));
    if (laneOfWarp() % 4 == 0) room.squares[(part.row + laneOfWarp() / 4 + i * 8) * part.splits + part.split] = squares;
  }
}

/**
 * Calls body(i, half, v, row, column, has) for the pairs of numbers, v and v + 1, that a lane has of the tiles of its warp, and whether
 * there is a slot and a column of the set.
 */
template <class S, class Tiles, class Body>
VWN_DEVICE void eachPairOfSet(const ConnectionShape &s, const Stage &stage, const Part<S, Tiles> &part, const Body &body) {
#pragma unroll
  for (int i = 0; i < Tiles::ofWarp; i++) {
    const int tile = part.unit + i * Tiles::units;
    if (tile >= Tiles::tiles) break;
#pragma unroll
    for (int half = 0; half < Tiles::halves; half++) {
      if (!Tiles::has(tile, half)) break;
      const int column = tile * 16 + half * 8 + laneOfWarp() % 4 * 2;
      const TileColumn ofSet = tileColumnOf(s, stage.set, S::ofToken, column);
#pragma unroll
      for (int v = 0; v < 4; v += 2) {
        const int row = part.row + laneOfWarp() / 4 + v * 4, slot = row % S::ofToken;
        const bool has = slot < s.n && ofSet.left > 0;
        body(i, half, v, row, column, has ? pairOfColumns(s, ofSet, slot) : PairOfColumns{}, has);
      }
    }
  }
}

/** 1/rms of a lane's rows, by what warps have shown of squares: 0 where there is no slot. */
template <class S, class Tiles>
VWN_DEVICE void sumNorms(const ConnectionShape &s, const GradRoom &room, const Stage &stage, const Part<S, Tiles> &part, float (&to)[2]) {
  const int present = endOfSlots(s, S::ofToken, part.row, stage.tokens);
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const int row = part.row + laneOfWarp() / 4 + i * 8;
    float squares = 0;
    for (int split = 0; split < part.splits; split++) squares += room.squares[row * part.splits + split];
    to[i] = row < present ? rsqrtf(squares / static_cast<float>(s.db) + s.eps) : 0.0f;
    if (part.unit == 0 && laneOfWarp() % 4 == 0) room.reciprocal[row] = to[i];
  }
}

/**
 * A pair's gradients: to the sums for static parts and scales; P, which is returned; and to a row's P·(H·W), by P as it is
 * rounded, so that the norm's term is that of the products which will be added.
 */
VWN_DEVICE uint32_t gradientOf(const GradRoom &room, int sum, const PairOfColumns &of, const FloatPair &products, float reciprocal,
                               const FloatPair &t, const float *up, float &dots) {
  addTo(room.offsets + sum, up[0], up[1]);
  addTo(room.scales + sum, up[0] * t.lower, up[1] * t.upper);
  const uint32_t product = packed(up[0] * of.scale.lower * (1.0f - t.lower * t.lower) * reciprocal,
                                  up[1] * of.scale.upper * (1.0f - t.upper * t.upper) * reciprocal);
  dots += lowerOf(product) * products.lower + upperOf(product) * products.upper;
  return product;
}
template <class S, class Tiles>
VWN_DEVICE void putDots(const GradRoom &room, const Part<S, Tiles> &part, const float (&dots)[2]) {
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const float sum = sumOverLanes(dots[i]);
    if (laneOfWarp() % 4 == 0) room.dots[(part.row + laneOfWarp() / 4 + i * 8) * Tiles::units + part.unit] = sum;
  }
}
VWN_DEVICE uint32_t &coefficientAt(const GradRoom &room, int row, int column) {
  return pairAt(room.coefficients + row * room.ofCoefficients + column);
}
VWN_DEVICE uint32_t &productAt(const GradRoom &room, int row, int column) {
  return pairAt(room.products + row * room.ofCoefficients + column);
}

/** Of the read: coefficients, behind the next barrier. */
template <class S, class Tiles>
VWN_DEVICE void readCoefficients(const ConnectionShape &s, const GradRoom &room, const Stage &stage, const Part<S, Tiles> &part,
                                 Products<Tiles> &products) {
  makeProducts(s, room, stage, part, products.sums, [](int, int, int, const Left &) {});
  show(room, part, products.sums);
  __syncthreads();
  addShown(room, part, products.sums);
  if (!part.isFirst()) return;
  sumNorms(s, room, stage, part, products.reciprocals);
  eachPairOfSet(s, stage, part, [&](int i, int half, int v, int row, int column, const PairOfColumns &of, bool has) {
    coefficientAt(room, row, column) = has ? alphaOf(of, tanhOf(products.pair(i, half, v), products.reciprocals[v / 2])) : 0;
  });
}

/** Of the read: P, from dA° = X·dReadᵀ; needed are coefficients, and dRead in the place of the backbone. */
template <class S, class Tiles>
VWN_DEVICE void readGradient(const ConnectionShape &s, const GradRoom &room, const Stage &stage, const Part<S, Tiles> &part,
                             const Products<Tiles> &products) {
  typename Tiles::Sums ups = {};
  const bf16 *dRead = stage.backbone + part.row / S::ofToken * static_cast<int>(s.m) * room.stride;
  for (int k = part.split * 16; part.isThere() && k < static_cast<int>(s.db); k += part.splits * 16) {
    const Left a = leftAt(stage.state + part.row * room.stride + k, room.stride);
    Right b[2];
    rightsOfFirstRows(dRead + k, room.stride, static_cast<int>(s.m), b);
#pragma unroll
    for (int half = 0; half < Tiles::halves; half++) multiplyAdd(ups[0][half], a, b[half]);
  }
  show(room, part, ups);
  if (part.splits > 1) __syncthreads();
  addShown(room, part, ups);
  if (!part.isFirst()) return;
  float dots[2] = {0, 0};
  eachPairOfSet(s, stage, part, [&](int i, int half, int v, int row, int column, const PairOfColumns &of, bool has) {
    const FloatPair own = products.pair(i, half, v);
    const float r = products.reciprocals[v / 2];
    const int sum = row * room.ofSums + stage.sumsFrom + column;
    productAt(room, row, column) =
        has ? gradientOf(room, sum, of, own, r, tanhOf(own, r), ups[i][half].values + v, dots[v / 2]) : 0;
  });
  putDots(room, part, dots);
}

/** Of the write: sums for dÂ = H·dNextᵀ and dB = dNext·outᵀ beside those of products. */
template <class S, class Tiles>
VWN_DEVICE void makeWriteSums(const ConnectionShape &s, const GradRoom &room, const Stage &stage, const Part<S, Tiles> &part,
                              typename Tiles::Sums &products, typename Tiles::Sums &ups) {
  const int token = part.row / S::ofToken, m = static_cast<int>(s.m);
  const bf16 *dNext = room.dNext + token * S::ofToken * room.stride, *out = stage.backbone + token * m * room.stride;
  makeProducts(s, room, stage, part, products, [&](int i, int tile, int k, const Left &a) {
    Right b[2];
    if (Tiles::isBeta(tile)) {
      const Left ofNext = leftAt(room.dNext + part.row * room.stride + k, room.stride);
      rightsOfFirstRows(out + k, room.stride, m, b);
      multiplyAdd(ups[i][0], ofNext, b[0]);
      if (!S::isNarrow) multiplyAdd(ups[i][1], ofNext, b[1]);
    } else {
      rightsOfRows(dNext + tile * 16 * room.stride + k, room.stride, b);
      multiplyAdd(ups[i][0], a, b[0]);
      multiplyAdd(ups[i][1], a, b[1]);
    }
  });
}

/** Of the write: coefficients and P. */
template <class S, class Tiles>
VWN_DEVICE void writeGradient(const ConnectionShape &s, const GradRoom &room, const Stage &stage) {
  const Part<S, Tiles> part(room, stage.rows);
  Products<Tiles> products{};
  typename Tiles::Sums ups = {};
  makeWriteSums(s, room, stage, part, products.sums, ups);
  show(room, part, products.sums);
  __syncthreads();
  addShown(room, part, products.sums);
  if (part.splits > 1) {
    __syncthreads();
    show(room, part, ups);
    __syncthreads();
    addShown(room, part, ups);
  }
  if (!part.isFirst()) return;
  sumNorms(s, room, stage, part, products.reciprocals);
  float dots[2] = {0, 0};
  eachPairOfSet(s, stage, part, [&](int i, int half, int v, int row, int column, const PairOfColumns &of, bool has) {
    const FloatPair own = products.pair(i, half, v);
    const float r = products.reciprocals[v / 2];
    const FloatPair t = tanhOf(own, r);
    const int sum = row * room.ofSums + stage.sumsFrom + column;
    coefficientAt(room, row, column) = has ? alphaOf(of, t) : 0;
    productAt(room, row, column) = has ? gradientOf(room, sum, of, own, r, t, ups[i][half].values + v, dots[v / 2]) : 0;
  });
  putDots(room, part, dots);
}

}  // namespace cuda
}  // namespace vwn
