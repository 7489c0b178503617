/**
 * What both passes of a connection step by tensor cores share. Matrices of bf16 lie in shared memory; rows are slots of one
 * token after another. Their tiles of 16 rows and 16 columns are shared out to the block's warps.
 */
#pragma once
#include "connection-tile-shape.h"
#include "connection.h"
#include "warp-matrix.h"

namespace vwn {
namespace cuda {

struct alignas(16) Chunk {
  uint32_t words[4];
};

/** Rows of a set's W for the tile, zeros for columns that it lacks. */
VWN_DEVICE void loadWeights(const ConnectionShape &s, const CoefficientSet &set, int64_t columns, int stride, bf16 *to) {
  for (int64_t at = threadIdx.x; at < columns * s.db; at += blockDim.x) {
    const int64_t c = at % columns, d = at / columns;
    to[c * stride + d] = toBf16(c < set.columns ? foldedWeight(s, set, c, d) : 0.0f);
  }
}

/** Asks for `rows` rows of db, of which `present` are there; zeros are the rest. */
VWN_DEVICE void copyRows(int db, const bf16 *from, int rows, int present, int stride, bf16 *to) {
  const int chunks = db / ofChunk;
  for (int at = static_cast<int>(threadIdx.x); at < rows * chunks; at += static_cast<int>(blockDim.x)) {
    const int row = at / chunks, d = at % chunks * ofChunk;
    const bool isThere = row < present;
    copyAsync(to + row * stride + d, isThere ? from + row * db + d : from, isThere);
  }
}

/** 1/rms of each row, 0 for those behind the `present` ones; a warp a row. */
VWN_DEVICE void normalizeRows(const ConnectionShape &s, const bf16 *state, int stride, int rows, int present, float *reciprocal) {
  for (int i = warpOfBlock(); i < rows; i += warpsOfBlock()) {
    float squares = 0;
    for (int d = laneOfWarp(); d < s.db; d += warpSize_) {
      const float value = toFloat(state[i * stride + d]);
      squares += value * value;
    }
    squares = warpSum(squares);
    if (laneOfWarp() == 0) reciprocal[i] = i < present ? 1.0f / sqrtf(squares / static_cast<float>(s.db) + s.eps) : 0.0f;
  }
  __syncthreads();
}

/** Rows of 16 are shared out to warps, and a row's tiles of 16 columns to the warps that have it. */
struct Share {
  int row, part, parts;
};
VWN_DEVICE Share shareOf(int rows) {
  const int rowTiles = rows / 16;
  return {warpOfBlock() % rowTiles * 16, warpOfBlock() / rowTiles, warpsOfBlock() / rowTiles};
}

/** Calls body(row, column, value) for the numbers of a sum that this lane holds, of a tile at `row` and `column`. */
template <class Body>
VWN_DEVICE void eachOf(const Sum &sum, int row, int column, const Body &body) {
#pragma unroll
  for (int i = 0; i < 4; i++)
    body(row + laneOfWarp() / 4 + i / 2 * 8, column + laneOfWarp() % 4 * 2 + i % 2, sum.values[i]);
}

/** Two neighbours of a row of bf16, the first in an even column. */
VWN_DEVICE uint32_t &pairAt(bf16 *at) { return *reinterpret_cast<uint32_t *>(at); }

/**
 * Calls body(row, column, lower, upper) for the pairs of neighbours, the first in an even column, that this lane holds of the tiles
 * of 16 columns whose sums its warp has: every `parts`-th from `first` on.
 */
template <int tilesAtOnce, class Body>
VWN_DEVICE void eachPairOfTiles(const Sum (&sums)[tilesAtOnce][2], const Share &share, int first, int tiles, const Body &body) {
#pragma unroll
  for (int i = 0; i < tilesAtOnce; i++) {
    const int tile = first + i * share.parts;
    if (tile >= tiles) break;
#pragma unroll
    for (int part = 0; part < 4; part++) {
      const float *pair = sums[i][part / 2].values + part % 2 * 2;
      body(share.row + laneOfWarp() / 4 + part % 2 * 8, tile * 16 + part / 2 * 8 + laneOfWarp() % 4 * 2, pair[0], pair[1]);
    }
  }
}

/** The same, calling body(row, column, value) for each number. */
template <int tilesAtOnce, class Body>
VWN_DEVICE void eachOfTiles(const Sum (&sums)[tilesAtOnce][2], const Share &share, int first, int tiles, const Body &body) {
  eachPairOfTiles(sums, share, first, tiles, [&](int row, int column, float lower, float upper) {
    body(row, column, lower);
    body(row, column + 1, upper);
  });
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

/**
 * Calls put(token, c, d, Σ_i coefficients[i, c]·rows[i, d]) for 16 columns c and all d of each token, i being its n slots; a warp
 * makes 16 columns d at a time.
 */
template <class Put>
VWN_DEVICE void gatherRows(int tokens, int n, int db, const bf16 *coefficients, int ofCoefficients, const bf16 *rows, int stride,
                           const Put &put) {
  const int tiles = db / 16;
  for (int task = warpOfBlock(); task < tokens * tiles; task += warpsOfBlock()) {
    const int token = task / tiles, tile = task % tiles;
    Sum sums[2] = {};
    for (int k = token * n; k < (token + 1) * n; k += 16) {
      Right b[2];
      rightsAt(rows + k * stride + tile * 16, stride, b);
      const Left a = leftAtTransposed(coefficients + k * ofCoefficients, ofCoefficients);
      multiplyAdd(sums[0], a, b[0]);
      multiplyAdd(sums[1], a, b[1]);
    }
#pragma unroll
    for (int half = 0; half < 2; half++)
      eachOf(sums[half], 0, tile * 16 + half * 8, [&](int c, int d, float value) { put(token, c, d, value); });
  }
}

VWN_DEVICE void storeRows(int db, const bf16 *from, int rows, int stride, bf16 *to) {
  const int chunks = db / ofChunk;
  for (int at = static_cast<int>(threadIdx.x); at < rows * chunks; at += static_cast<int>(blockDim.x))
    *reinterpret_cast<Chunk *>(to + at * ofChunk) =
        *reinterpret_cast<const Chunk *>(from + at / chunks * stride + at % chunks * ofChunk);
}

}  // namespace cuda
}  // namespace vwn
