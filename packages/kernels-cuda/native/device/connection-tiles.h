/**
 * What both passes of a connection step by tensor cores share. Matrices of bf16 lie in shared memory; rows are slots of one
 * token after another. Their tiles of 16 rows and 16 columns are shared out to the block's warps.
 */
#pragma once
#include "connection-tiles-moves.h"
#include "connection.h"

namespace vwn {
namespace cuda {

/** Two neighbours of float32, the first in an even column. */
struct alignas(8) FloatPair {
  float lower, upper;
};
VWN_DEVICE FloatPair pairAt(const float *at) { return wholeAt<FloatPair>(at); }
VWN_DEVICE void putPair(float *at, const FloatPair &pair) { putWhole(at, pair); }
VWN_DEVICE void addTo(float *at, float lower, float upper) {
  const FloatPair before = pairAt(at);
  putPair(at, {before.lower + lower, before.upper + upper});
}
/** Two neighbours of a row of bf16, the first in an even column. */
VWN_DEVICE uint32_t &pairAt(bf16 *at) { return *reinterpret_cast<uint32_t *>(at); }

/** A kernel's arguments, with what is known of them when it is compiled. */
template <class S>
VWN_DEVICE ConnectionShape shapeOf(ConnectionShape s) {
  if (S::isKnown) s.m = S::m, s.n = S::ofToken, s.db = S::columns, s.write = s.read = s.dynamic = s.normed = 1;
  return s;
}

/** The first row behind the slots of a row's token, 0 where that is not among the first `tokens`. */
VWN_DEVICE int endOfSlots(const ConnectionShape &s, int ofToken, int row, int tokens) {
  const int token = tokenOf(row, ofToken);
  return token < tokens ? token * ofToken + static_cast<int>(s.n) : 0;
}
/** What stands in a column of tiles (writeColumnsOfTiles): a set's column, and how many its matrix has from there on, 0 or less behind them. */
struct TileColumn {
  Column of;
  int left;
};
VWN_DEVICE TileColumn tileColumnOf(const ConnectionShape &s, const CoefficientSet &set, int ofToken, int c) {
  const bool isB = set.isWrite && c >= ofToken;
  const int64_t ofSet = isB ? c - ofToken + s.n : c;
  return {columnOf(s, set, ofSet), static_cast<int>((set.isWrite && !isB ? s.n : set.columns) - ofSet)};
}

/**
 * Rows of a set's W for the tile, zeros where columnAt(c) has none left, of `count` columns of the state from `first` on; put(c, d, chunk)
 * has 8 of row c, the d-th of these and those behind it. Neighbouring threads have neighbouring columns of fn.
 */
template <class ColumnAt, class Put>
VWN_DEVICE void eachChunkOfWeights(const ConnectionShape &s, const float *norm, int columns, int first, int count,
                                   const ColumnAt &columnAt, const Put &put) {
  const float root = 1.0f / sqrtf(static_cast<float>(s.db));
  for (int at = static_cast<int>(threadIdx.x); at < columns * count / ofChunk; at += static_cast<int>(blockDim.x)) {
    const int c = at % columns, d = at / columns * ofChunk;
    Chunk chunk{};
    const TileColumn column = columnAt(c);
    if (column.left > 0) {
#pragma unroll
      for (int i = 0; i < ofChunk; i += 2)
        chunk.words[i / 2] =
            packed(foldedWeight(column.of, norm, first + d + i, root), foldedWeight(column.of, norm, first + d + i + 1, root));
    }
    put(c, d, chunk);
  }
}
VWN_DEVICE void loadWeights(const ConnectionShape &s, const CoefficientSet &set, int columns, int stride, bf16 *to) {
  const int ofToken = static_cast<int>(rowsOfToken(s));
  eachChunkOfWeights(
      s, set.parameters.normWeight, columns, 0, static_cast<int>(s.db), [&](int c) { return tileColumnOf(s, set, ofToken, c); },
      [&](int c, int d, const Chunk &chunk) { putWhole(to + c * stride + d, chunk); });
}

/** W of both sets, and zeros, to where a block's room has them. */
template <class Room>
VWN_DEVICE void loadBothWeights(const ConnectionShape &s, const CoefficientSet &write, const CoefficientSet &read, const Room &room) {
  if (threadIdx.x < ofChunk) room.zeros[threadIdx.x] = toBf16(0.0f);
  if (s.write) loadWeights(s, write, static_cast<int>(writeColumnsOfTiles(s)), room.stride, room.writing);
  // Tiles of the write's W reach into the read's, which must be finite even where there is none.
  loadWeights(s, {read.parameters, s.read ? s.m : 0, false}, static_cast<int>(readWeightRows(s)), room.stride, room.reading);
}

/** 1/rms of two rows of db from what lanes have of their squares, `row` + g and g + 8; 0 for rows from `present` on. */
VWN_DEVICE void reciprocalsOfRows(const ConnectionShape &s, const float (&squares)[2], int row, int present, float (&to)[2]) {
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const float all = sumOverLanes(squares[i]);
    to[i] = row + laneOfWarp() / 4 + i * 8 < present ? rsqrtf(all / static_cast<float>(s.db) + s.eps) : 0.0f;
  }
}

/** The squares that a lane has of its rows of a left factor, g and g + 8, added up. */
struct RowNorms {
  float sums[2] = {0, 0};

  VWN_DEVICE void add(const Left &a) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const float lower = lowerOf(a.words[i]), upper = upperOf(a.words[i]);
      sums[i % 2] += lower * lower + upper * upper;
    }
  }
  VWN_DEVICE float ownSquares(int half) const { return sums[half]; }
};

/**
 * As RowNorms, by tensor cores, which have time for it, in an eighth of the instructions and six registers more: squares are the
 * diagonal of the rows' product with their own transpose, which as a right factor is the same registers.
 */
struct RowNormsByTiles {
  Sum products[2] = {};

  VWN_DEVICE void add(const Left &a) {
    multiplyAdd(products[0], a, {{a.words[0], a.words[2]}});
    multiplyAdd(products[1], a, {{a.words[1], a.words[3]}});
  }
  /** What this lane has of row g, or g + 8: all, which is in column g of the product, or nothing. */
  VWN_DEVICE float ownSquares(int half) const {
    const int apart = laneOfWarp() / 4 - laneOfWarp() % 4 * 2;
    const float *pair = products[half].values + 2 * half;
    return apart == 0 ? pair[0] : apart == 1 ? pair[1] : 0.0f;
  }
  VWN_DEVICE void reciprocals(const ConnectionShape &s, int row, int present, float (&to)[2]) const {
    float squares[2];
#pragma unroll
    for (int i = 0; i < 2; i++) squares[i] = ownSquares(i);
    reciprocalsOfRows(s, squares, row, present, to);
  }
};

/** Static parts and scales of a slot's coefficients in an even column of tiles and the next; zeros where their matrix ends between both. */
struct PairOfColumns {
  FloatPair offset, scale;
};
VWN_DEVICE PairOfColumns pairOfColumns(const ConnectionShape &s, const TileColumn &column, int slot) {
  const Column &of = column.of;
  const int at = slot * static_cast<int>(of.stride) + static_cast<int>(of.at);
  // With an odd m or n rows of these matrices begin anywhere.
  if ((s.m | s.n) % 2 == 0) return {pairAt(of.offset + at), pairAt(of.scale + at)};
  const bool both = column.left > 1;
  return {{of.offset[at], both ? of.offset[at + 1] : 0.0f}, {of.scale[at], both ? of.scale[at + 1] : 0.0f}};
}

/** Eqs. 11–14 for a pair of coefficients: tanh of what products with W are by 1/rms, and S ∘ tanh + static, rounded. */
VWN_DEVICE FloatPair tanhOf(const FloatPair &product, float r) { return {shortTanh(product.lower * r), shortTanh(product.upper * r)}; }
VWN_DEVICE uint32_t alphaOf(const PairOfColumns &of, const FloatPair &tanh) {
  return packed(tanh.lower * of.scale.lower + of.offset.lower, tanh.upper * of.scale.upper + of.offset.upper);
}

/** Rows of 16 are shared out to warps, and a row's tiles of 16 columns to the warps that have it. */
struct Share {
  int row, part, parts;
};
/** Of 16, 32 or 64 rows: how many bits the number of their tiles is more than 1. */
VWN_DEVICE int bitsOfTiles(int rows) { return (rows > 16) + (rows > 32); }
VWN_DEVICE Share shareOf(int rows, int warp, int warps) {
  const int bits = bitsOfTiles(rows);
  return {(warp & (rows / 16 - 1)) * 16, warp >> bits, warps >> bits};
}

/** Calls body(row, column, pair) for the pairs of neighbours of a sum that this lane holds, of a tile at `row` and `column`. */
template <class Body>
VWN_DEVICE void eachPairOf(const Sum &sum, int row, int column, const Body &body) {
#pragma unroll
  for (int i = 0; i < 4; i += 2)
    body(row + laneOfWarp() / 4 + i * 4, column + laneOfWarp() % 4 * 2, FloatPair{sum.values[i], sum.values[i + 1]});
}

/** Tokens are shared out to warps, and a token's columns to the warps that have it. */
struct TokenShare {
  int token, part, parts;
};
VWN_DEVICE TokenShare shareOfTokens(int tokens, int warp, int warps) {
  const Share share = shareOf(16 * tokens, warp, warps);
  return {share.row / 16, share.part, share.parts};
}

/** One of `parts` parts, a power of 2, of `count` neighbours: such of the same warp lie in steps that a compiler knows. */
struct Stretch {
  int begin, end;
};
VWN_DEVICE Stretch stretchOf(int count, int part, int parts) {
  const int each = (count + parts - 1) >> bitsOf(static_cast<unsigned>(parts - 1));
  const int begin = part * each;
  return {begin, begin + each < count ? begin + each : count};
}

/**
 * Calls put(c, d, pair), of Σ_i coefficients[i, c]·rows[i, d] for d and d + 1, for 16 columns c and all d of the warp's token, i
 * being its rows, of which there are `ofToken`.
 */
template <int ofToken, class Put>
VWN_DEVICE void gatherRows(const ConnectionShape &s, const TokenShare &share, const bf16 *coefficients, int ofCoefficients,
                           const bf16 *rows, int stride, const Put &put) {
  // Those of 64 rows have no registers to stay in.
  constexpr bool stay = ofToken < mostTileRows;
  const int begin = share.token * ofToken;
  const auto leftOf = [&](int k) { return leftAtTransposed(coefficients + k * ofCoefficients, ofCoefficients); };
  Left staying[stay ? ofToken / 16 : 1];
#pragma unroll
  for (int k = 0; stay && k < ofToken; k += 16) staying[k / 16] = leftOf(begin + k);
  const Stretch tiles = stretchOf(static_cast<int>(s.db) / 16, share.part, share.parts);
#pragma unroll(stay ? 4 : 1)
  for (int tile = tiles.begin; tile < tiles.end; tile++) {
    Sum sums[2] = {};
#pragma unroll
    for (int k = 0; k < ofToken; k += 16) {
      const Left a = stay ? staying[k / 16] : leftOf(begin + k);
      Right b[2];
      rightsAt(rows + (begin + k) * stride + tile * 16, stride, b);
      multiplyAdd(sums[0], a, b[0]);
      multiplyAdd(sums[1], a, b[1]);
    }
#pragma unroll
    for (int half = 0; half < 2; half++) eachPairOf(sums[half], 0, tile * 16 + half * 8, put);
  }
}

/** What is read of a token, in float32, has rows of so many columns: as many banks apart as the four rows that are served at once need. */
VWN_DEVICE int strideOfRead(int64_t columns) { return static_cast<int>(columns) + ofChunk; }
/** Calls body(c, d, i) for the pairs of a backbone of m rows that this thread has: row, even column, and place in all of it. */
template <class Body>
VWN_DEVICE void eachPairOfBackbone(int64_t m, int64_t columns, const Body &body) {
  const Divisor ofRow(columns / 2);
  for (int at = static_cast<int>(threadIdx.x); at < static_cast<int>(m) * ofRow.by; at += static_cast<int>(blockDim.x)) {
    const int c = ofRow.quotient(at);
    body(c, 2 * (at - c * ofRow.by), 2 * at);
  }
}
VWN_DEVICE float reciprocalOfRead(const ConnectionShape &s, float squares) {
  return rsqrtf(squares / static_cast<float>(s.m * s.db) + s.normEps);
}

}  // namespace cuda
}  // namespace vwn
