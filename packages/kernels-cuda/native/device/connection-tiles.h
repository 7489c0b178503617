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

/** 1/rms of two rows of db from what lanes have of their squares, `row` + g and g + 8; 0 for rows from `present` on. */
VWN_DEVICE void reciprocalsOfRows(const ConnectionShape &s, const float (&squares)[2], int row, int present, float (&to)[2]) {
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const float all = sumOverLanes(squares[i]);
    to[i] = row + laneOfWarp() / 4 + i * 8 < present ? 1.0f / sqrtf(all / static_cast<float>(s.db) + s.eps) : 0.0f;
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

/** In a third of tanhf's instructions, with an error of some 1e-7 where tanh is small, for what is rounded to bf16. NaN of NaN. */
VWN_DEVICE float shortTanh(float x) {
#if defined(__CUDACC__)
  float inverse;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(1.0f + exp2f(x * 2.885390082f)));
  return 1.0f - 2.0f * inverse;
#else
  return 1.0f - 2.0f / (1.0f + exp2f(x * 2.885390082f));
#endif
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

/**
 * Calls body(row, column, pair) for the pairs of neighbours, the first in an even column, that this lane holds of the tiles of 16
 * columns whose sums its warp has: every `parts`-th from `first` on.
 */
template <int tilesAtOnce, class Body>
VWN_DEVICE void eachPairOfTiles(const Sum (&sums)[tilesAtOnce][2], const Share &share, int first, int tiles, const Body &body) {
#pragma unroll
  for (int i = 0; i < tilesAtOnce; i++) {
    const int tile = first + i * share.parts;
    if (tile >= tiles) break;
#pragma unroll
    for (int half = 0; half < 2; half++) eachPairOf(sums[i][half], share.row, tile * 16 + half * 8, body);
  }
}

/**
 * sums[i] += the warp's row of tiles by its i-th column of them, over `depth`: of(k) is the left factor at k, by(tile, k, b)
 * sets the right ones of a column of tiles.
 */
template <int tilesAtOnce, class Of, class By>
VWN_DEVICE void multiplyTiles(int depth, const Share &share, int first, int tiles, const Of &of, const By &by,
                              Sum (&sums)[tilesAtOnce][2]) {
  for (int k = 0; k < depth; k += 16) {
    const Left a = of(k);
#pragma unroll
    for (int i = 0; i < tilesAtOnce; i++) {
      const int tile = first + i * share.parts;
      if (tile >= tiles) break;
      Right b[2];
      by(tile, k, b);
      multiplyAdd(sums[i][0], a, b[0]);
      multiplyAdd(sums[i][1], a, b[1]);
    }
  }
}

/** Tokens are shared out to warps, and a token's columns to the warps that have it. */
struct TokenShare {
  int token, part, parts;
};
VWN_DEVICE TokenShare shareOfTokens(int tokens, int warp, int warps) {
  const Share share = shareOf(16 * tokens, warp, warps);
  return {share.row / 16, share.part, share.parts};
}

/**
 * Calls put(c, d, pair), of Σ_i coefficients[i, c]·rows[i, d] for d and d + 1, for 16 columns c and all d of the warp's token, i
 * being its n rows.
 */
template <class Put>
VWN_DEVICE void gatherRows(const ConnectionShape &s, const TokenShare &share, int n, const bf16 *coefficients, int ofCoefficients,
                           const bf16 *rows, int stride, const Put &put) {
  const int begin = share.token * n;
#pragma unroll 1
  for (int tile = share.part; tile < static_cast<int>(s.db) / 16; tile += share.parts) {
    Sum sums[2] = {};
#pragma unroll 4
    for (int k = begin; k < begin + n; k += 16) {
      const Left a = leftAtTransposed(coefficients + k * ofCoefficients, ofCoefficients);
      Right b[2];
      rightsAt(rows + k * stride + tile * 16, stride, b);
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
/** Of so many columns of what was read of a token, the squares that this thread has. */
VWN_DEVICE float squaresOfRead(const ConnectionShape &s, int columns, const float *read) {
  float squares = 0;
  eachPairOfBackbone(s.m, columns, [&](int c, int d, int) {
    const FloatPair pair = pairAt(read + c * strideOfRead(columns) + d);
    squares += pair.lower * pair.lower + pair.upper * pair.upper;
  });
  return squares;
}
VWN_DEVICE float reciprocalOfRead(const ConnectionShape &s, float squares) {
  return 1.0f / sqrtf(squares / static_cast<float>(s.m * s.db) + s.normEps);
}

/** What was read goes through the sublayer's norm, where there is one, to where it is stored. */
VWN_DEVICE void storeRead(const ConnectionShape &s, const ConnectionParameters &reading, float *sums, int tokens, const float *x,
                          bf16 *to) {
  const int m = static_cast<int>(s.m), size = m * static_cast<int>(s.db), stride = strideOfRead(s.db);
  for (int token = 0; token < tokens; token++) {
    const float *own = x + token * m * stride;
    const float r = s.normed ? reciprocalOfRead(s, blockSum(squaresOfRead(s, static_cast<int>(s.db), own), sums)) : 1.0f;
    eachPairOfBackbone(s.m, s.db, [&](int c, int d, int i) {
      const FloatPair read = pairAt(own + c * stride + d);
      const FloatPair weight = s.normed ? pairAt(reading.sublayerNorm + i) : FloatPair{1.0f, 1.0f};
      pairAt(to + token * size + i) = packed(read.lower * r * weight.lower, read.upper * r * weight.upper);
    });
  }
}

/**
 * Through the sublayer's norm, for a token: dx, which has pairOf(c, d), becomes dRead. With g = dx·weight and r = 1/rms:
 * dRead = r·g − read·mean(g·read)·r³. Each thread adds to numbers of its own of the weight's gradient, `ofNorm`. Ends with a barrier.
 * A block has `columns` of db, which begin where `weight` does; total(i, own) is the i-th sum over its threads, and those that have the
 * rest.
 */
template <class Total, class PairOf>
VWN_DEVICE void sublayerNormGradient(const ConnectionShape &s, int columns, const float *weight, const float *read, float *ofNorm,
                                     const Total &total, const PairOf &pairOf) {
  const int stride = strideOfRead(columns), others = static_cast<int>(s.db) - columns;
  const float r = reciprocalOfRead(s, total(0, squaresOfRead(s, columns, read)));
  float dot = 0;
  eachPairOfBackbone(s.m, columns, [&](int c, int d, int i) {
    const FloatPair of = pairAt(weight + i + c * others), x = pairAt(read + c * stride + d);
    const uint32_t up = pairOf(c, d);
    dot += lowerOf(up) * of.lower * x.lower + upperOf(up) * of.upper * x.upper;
  });
  const float shift = total(1, dot) * r * r * r / static_cast<float>(s.m * s.db);
  eachPairOfBackbone(s.m, columns, [&](int c, int d, int i) {
    const FloatPair of = pairAt(weight + i + c * others), x = pairAt(read + c * stride + d);
    uint32_t &at = pairOf(c, d);
    const float lower = lowerOf(at), upper = upperOf(at);
    addTo(ofNorm + i, lower * x.lower * r, upper * x.upper * r);
    at = packed(lower * of.lower * r - x.lower * shift, upper * of.upper * r - x.upper * shift);
  });
  __syncthreads();
}

}  // namespace cuda
}  // namespace vwn
