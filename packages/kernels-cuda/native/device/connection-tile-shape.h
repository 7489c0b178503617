/** How a connection step by tensor cores divides its work; a kernel's argument. */
#pragma once
#include <cstdint>
#include <initializer_list>

#include "connection-shape.h"
#include "shared-room.h"

namespace vwn {
namespace cuda {

/** A block takes `tokens` tokens at once, whose slots are 16, 32 or 64 rows; the next ones are on their way into another buffer. */
struct ConnectionTiles {
  int32_t tokens, buffers;
};

/** Columns that B's or A°'s coefficients have in shared memory: the most that m may be. */
constexpr int columnsOfTile = 16;

/** Elements of bf16 in 16 bytes: so many more than columns a row has in shared memory, that no bank serves two rows of a matrix. */
constexpr int ofChunk = 8;

/** Warps of a block, and their parts of rows' sums: rows / 16 · parts is the number of warps. */
constexpr int tileWarps = 8, dotsOfRows = 16 * tileWarps;

/** What tiles can do: bf16, whole matrices of 16, and room for what was read in the place of a state. */
inline bool takesTiles(const ConnectionShape &s) {
  return s.dynamic && (s.n == 16 || s.n == 32 || s.n == 64) && s.m <= columnsOfTile && 2 * s.m <= s.n && s.db % 16 == 0;
}

/** Bytes of shared memory: states, backbones, coefficients, weights of both sets, sums, zeros. */
inline int64_t bytesOfTiles(const ConnectionShape &s, const ConnectionTiles &t) {
  const int64_t stride = s.db + ofChunk, slots = t.tokens * s.n;
  const int64_t rows = t.buffers * (slots + t.tokens * s.m) + slots + (s.n + 2 * columnsOfTile);
  return 2 * (rows * stride + slots * (s.n + columnsOfTile + ofChunk)) + 4 * roomOfSums + 16;
}

/** The next tokens on their way while others are computed, and then as many at once as fit; tokens = 0 where none do. */
template <class Fits>
ConnectionTiles inTurns(const ConnectionShape &s, const Fits &fits) {
  for (const int32_t buffers : {2, 1})
    for (int32_t tokens = static_cast<int32_t>(64 / s.n); tokens > 0; tokens /= 2)
      if (fits(ConnectionTiles{tokens, buffers})) return {tokens, buffers};
  return {0, 0};
}

/** As many tokens as leave room for a second block, which computes while the first one waits; or else one block, in turns. */
inline ConnectionTiles tilesFor(const ConnectionShape &s, int64_t sharedBytes) {
  const auto blocks = [&](const ConnectionTiles &t) { return blocksAtOnce(bytesOfTiles(s, t), sharedBytes); };
  for (int32_t tokens = static_cast<int32_t>(64 / s.n); tokens > 0; tokens /= 2)
    for (const int32_t buffers : {2, 1})
      if (blocks({tokens, buffers}) >= 2) return {tokens, buffers};
  return inTurns(s, [&](const ConnectionTiles &t) { return blocks(t) >= 1; });
}

/**
 * Rows of W that a block of the backward pass keeps: the write's and, behind them, the read's, filled up so that tiles of the
 * write's have 16 rows.
 */
VWN_ON_BOTH int64_t readWeightRows(const ConnectionShape &s) { return s.m > columnsOfTile - s.m ? s.m : columnsOfTile - s.m; }
inline int64_t weightRows(const ConnectionShape &s) { return writeColumns(s) + readWeightRows(s); }

/**
 * Sums for static parts, and as many for scales, in shared memory: a row for each slot, the write's columns and from an even place
 * on the read's, so many floats apart that pairs of four rows, which are served at once, meet in no bank.
 */
VWN_ON_BOTH int64_t readSumsFrom(const ConnectionShape &s) { return (writeColumns(s) + 1) / 2 * 2; }
VWN_ON_BOTH int64_t strideOfSums(const ConnectionShape &s) { return (readSumsFrom(s) + s.m + 7) / 16 * 16 + 8; }

/** What the sublayer's norm reads anew, in the place of the gradients of coefficients: of those there are slots · stride. */
VWN_ON_BOTH int64_t bytesOfProducts(const ConnectionShape &s, const ConnectionTiles &t) {
  const int64_t products = 2 * t.tokens * s.n * (s.n + columnsOfTile + ofChunk), read = 4 * t.tokens * s.m * (s.db + ofChunk);
  return s.normed && read > products ? read : products;
}

/** Bytes of shared memory of the backward pass, in the order in which they lie there. */
inline int64_t bytesOfGradTiles(const ConnectionShape &s, const ConnectionTiles &t) {
  const int64_t stride = s.db + ofChunk, slots = t.tokens * s.n;
  const int64_t rows = t.buffers * (slots + t.tokens * s.m) + slots + weightRows(s);
  const int64_t floats = 2 * slots * strideOfSums(s) + (s.normed ? s.m * s.db : 0) + slots + dotsOfRows + roomOfSums;
  return 16 + 2 * (rows * stride + slots * (s.n + columnsOfTile + ofChunk)) + bytesOfProducts(s, t) + 4 * floats;
}

inline ConnectionTiles gradTilesFor(const ConnectionShape &s, int64_t sharedBytes) {
  return inTurns(s, [&](const ConnectionTiles &t) { return bytesOfGradTiles(s, t) <= sharedBytes; });
}

}  // namespace cuda
}  // namespace vwn
