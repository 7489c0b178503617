/** How a connection step by tensor cores divides its work; a kernel's argument. */
#pragma once
#include <cstdint>
#include <initializer_list>

#include "connection-shape.h"
#include "shared-room.h"

namespace vwn {
namespace cuda {

/** A block takes `tokens` tokens at once, of rowsOfToken each; the next ones are on their way into another buffer. */
struct ConnectionTiles {
  int32_t tokens, buffers;
};

/** Columns that B's or A°'s coefficients have in shared memory: the most that m may be. */
constexpr int columnsOfTile = 16;

/** Elements of bf16 in 16 bytes: so many more than columns a row has in shared memory, that no bank serves two rows of a matrix. */
constexpr int ofChunk = 8;

/** Warps of a block of the backward pass where its numbers are known when it is compiled, and where they are not. */
constexpr int warpsOfKnown = 16, warpsOfOthers = 8;

/** The most rows that a block has at once. */
constexpr int mostTileRows = 64;

/** What tiles can do: bf16, and whole matrices of 16. */
inline bool takesTiles(const ConnectionShape &s) {
  return s.dynamic && s.n <= mostTileRows && s.m <= columnsOfTile && s.m <= s.n && s.db % 16 == 0;
}

/**
 * Rows of a token: its slots, and zeros behind them up to 16, 32 or 64; so many, too, that what was read has room in the place of a
 * state.
 */
VWN_ON_BOTH int64_t rowsOfToken(const ConnectionShape &s) {
  const int64_t least = s.n > 2 * s.m ? s.n : 2 * s.m;
  return least <= 16 ? 16 : least <= 32 ? 32 : mostTileRows;
}
/** The write's columns as tiles have them: those of Â are filled up as slots are, and those of B stand behind them. */
VWN_ON_BOTH int64_t writeColumnsOfTiles(const ConnectionShape &s) { return rowsOfToken(s) + s.m; }

/**
 * Rows of W that a block keeps: the write's and, behind them, the read's, filled up so that tiles of the write's have 16 rows.
 */
VWN_ON_BOTH int64_t readWeightRows(const ConnectionShape &s) { return s.m > columnsOfTile - s.m ? s.m : columnsOfTile - s.m; }
VWN_ON_BOTH int64_t weightRows(const ConnectionShape &s) { return writeColumnsOfTiles(s) + readWeightRows(s); }

/**
 * The (m, n) and db that both passes are compiled for, of steps that write, read and norm: (4,16) and (8,32) with D of 1024, 2048 and
 * 4096; and the tokens at once of the backward pass where a block has Hopper's room, to which GPUs with less may come, too. Known
 * numbers take half of the registers, so that a block of the backward pass has twice the warps; forward they spare a third of the
 * instructions, or half.
 */
#define VWN_EACH_KNOWN(kernel)                                                                   \
  kernel(4, 16, 256, 4) kernel(4, 16, 512, 2) kernel(4, 16, 1024, 1) kernel(8, 32, 128, 2)       \
  kernel(8, 32, 256, 2) kernel(8, 32, 512, 1)
VWN_ON_BOTH bool isKnown(const ConnectionShape &s) {
  if (!s.write || !s.read || !s.normed) return false;
#define VWN_IS_KNOWN(m_, n_, db_, tokens_) \
  if (s.m == m_ && s.n == n_ && s.db == db_) return true;
  VWN_EACH_KNOWN(VWN_IS_KNOWN)
#undef VWN_IS_KNOWN
  return false;
}

/** Warps of a block of the forward pass. */
constexpr int warpsOfForward = 8;
/** Floats of a sum [16, 8], which a warp shows for each 8 columns of the write's coefficients and for each that A° may have. */
constexpr int shownOfHalf = 16 * 8;
VWN_ON_BOTH int64_t halvesOfBackbone(const ConnectionShape &s, bool known) { return known && s.m <= 8 ? 1 : 2; }
VWN_ON_BOTH int64_t floatsShownForward(const ConnectionShape &s, bool known) {
  return warpsOfForward * (rowsOfToken(s) / 8 + halvesOfBackbone(s, known)) * shownOfHalf;
}
/** Elements of bf16 that a block's state has room for, of all its tokens: also for what warps show. */
VWN_ON_BOTH int64_t roomOfState(const ConnectionShape &s, const ConnectionTiles &t, bool known) {
  const int64_t state = t.tokens * rowsOfToken(s) * (s.db + ofChunk), shown = 2 * floatsShownForward(s, known);
  return state > shown ? state : shown;
}
/** Squares of parts of rows, or of what was read: as many as warps have rows. */
constexpr int squaresOfForward = 16 * warpsOfForward;

/** Bytes of shared memory: states, backbones, coefficients, weights of both sets, squares, zeros. */
inline int64_t bytesOfTiles(const ConnectionShape &s, const ConnectionTiles &t) {
  const int64_t stride = s.db + ofChunk, ofToken = rowsOfToken(s), slots = t.tokens * ofToken;
  const int64_t rows = t.buffers * t.tokens * s.m + weightRows(s);
  return 2 * ((t.buffers + 1) * roomOfState(s, t, isKnown(s)) + rows * stride + slots * (ofToken + columnsOfTile + ofChunk)) +
         4 * squaresOfForward + 16;
}

inline int32_t mostTokens(const ConnectionShape &s) { return static_cast<int32_t>(mostTileRows / rowsOfToken(s)); }

/** The next tokens on their way while others are computed, and then as many at once as fit; tokens = 0 where none do. */
template <class Fits>
ConnectionTiles inTurns(const ConnectionShape &s, const Fits &fits) {
  for (const int32_t buffers : {2, 1})
    for (int32_t tokens = mostTokens(s); tokens > 0; tokens /= 2)
      if (fits(ConnectionTiles{tokens, buffers})) return {tokens, buffers};
  return {0, 0};
}

/** As many tokens as leave room for a second block, which computes while the first one waits; or else one block, in turns. */
inline ConnectionTiles tilesFor(const ConnectionShape &s, int64_t sharedBytes) {
  const auto blocks = [&](const ConnectionTiles &t) { return blocksAtOnce(bytesOfTiles(s, t), sharedBytes); };
  for (int32_t tokens = mostTokens(s); tokens > 0; tokens /= 2)
    for (const int32_t buffers : {2, 1})
      if (blocks({tokens, buffers}) >= 2) return {tokens, buffers};
  return inTurns(s, [&](const ConnectionTiles &t) { return blocks(t) >= 1; });
}

/**
 * Sums for static parts, and as many for scales, in shared memory: in each row the write's columns and from an even place on the
 * read's, so many floats apart that pairs of four rows, which are served at once, meet in no bank.
 */
VWN_ON_BOTH int64_t readSumsFrom(const ConnectionShape &s) { return (writeColumnsOfTiles(s) + 1) / 2 * 2; }
VWN_ON_BOTH int64_t strideOfSums(const ConnectionShape &s) { return (readSumsFrom(s) + s.m + 7) / 16 * 16 + 8; }

/** Whether the backward pass is compiled for this shape with so many tokens at once. */
VWN_ON_BOTH bool isKnown(const ConnectionShape &s, const ConnectionTiles &t) {
  if (!isKnown(s) || t.buffers != 2) return false;
#define VWN_IS_KNOWN(m_, n_, db_, tokens_) \
  if (s.m == m_ && s.n == n_ && s.db == db_ && t.tokens == tokens_) return true;
  VWN_EACH_KNOWN(VWN_IS_KNOWN)
#undef VWN_IS_KNOWN
  return false;
}

/** Sums of two tiles of 8 columns that each warp shows, where warps with the same rows share columns of the state. `known`: isKnown. */
constexpr int shownByWarp = 32 * 8;
VWN_ON_BOTH int64_t floatsShown(bool known) { return known ? warpsOfKnown * shownByWarp : 0; }
/** Sums of rows that warps show each other: rows / 16 · parts is the number of warps, and squares have parts only where columns are shared. */
VWN_ON_BOTH int64_t dotsOfRows(bool known) { return 16 * (known ? warpsOfKnown : warpsOfOthers); }
VWN_ON_BOTH int64_t squaresOfRows(const ConnectionShape &s, const ConnectionTiles &t, bool known) {
  return known ? 16 * warpsOfKnown : t.tokens * rowsOfToken(s);
}

/** The gradients of coefficients, slots · stride, and behind them what warps show; in their place what the sublayer's norm reads anew. */
VWN_ON_BOTH int64_t productsOfTiles(const ConnectionShape &s, const ConnectionTiles &t) {
  return t.tokens * rowsOfToken(s) * (rowsOfToken(s) + columnsOfTile + ofChunk);
}
VWN_ON_BOTH int64_t bytesOfProducts(const ConnectionShape &s, const ConnectionTiles &t, bool known) {
  const int64_t read = s.normed ? 4 * t.tokens * s.m * (s.db + ofChunk) : 0;
  const int64_t products = 2 * productsOfTiles(s, t) + 4 * floatsShown(known);
  return read > products ? read : products;
}

/** Bytes of shared memory of the backward pass, in the order in which they lie there. */
inline int64_t bytesOfGradTiles(const ConnectionShape &s, const ConnectionTiles &t) {
  const int64_t stride = s.db + ofChunk, ofToken = rowsOfToken(s), slots = t.tokens * ofToken;
  const int64_t rows = t.buffers * (slots + t.tokens * s.m) + slots + weightRows(s);
  const bool known = isKnown(s, t);
  const int64_t ofRows = 2 * slots * strideOfSums(s) + slots + dotsOfRows(known) + squaresOfRows(s, t, known);
  const int64_t floats = ofRows + (s.normed ? s.m * s.db : 0) + roomOfSums;
  return 16 + 2 * (rows * stride + slots * (ofToken + columnsOfTile + ofChunk)) + bytesOfProducts(s, t, known) + 4 * floats;
}

inline ConnectionTiles gradTilesFor(const ConnectionShape &s, int64_t sharedBytes) {
  return inTurns(s, [&](const ConnectionTiles &t) { return bytesOfGradTiles(s, t) <= sharedBytes; });
}

}  // namespace cuda
}  // namespace vwn
