/**
 * What both halves of a connection step's backward pass by tensor cores are made of; connection-tiles-grad.cu says what they
 * compute. Every function is for all threads of a block, and leaves the barrier behind it to the caller.
 */
#pragma once
#include "connection-tiles.h"

namespace vwn {
namespace cuda {

/** Where a part's sums of a set go: static parts, scales [n, columns] and behind them gradients of W [columns, db]. */
VWN_DEVICE float *sumsOfPart(const ConnectionShape &s, const ConnectionGradTensors &io, int64_t part, bool isWrite) {
  const SumsOfStep at = sumsOfStep(s);
  return io.partial + part * at.count + (isWrite ? 0 : at.read);
}
VWN_DEVICE float *weightsOfPart(const ConnectionShape &s, const ConnectionGradTensors &io, int64_t part, bool isWrite) {
  return sumsOfPart(s, io, part, isWrite) + weightSumsFrom(s, isWrite ? writeColumns(s) : s.m);
}
/** Each block is a part. */
VWN_DEVICE float *sumsOfBlock(const ConnectionShape &s, const ConnectionGradTensors &io, bool isWrite) {
  return sumsOfPart(s, io, blockIdx.x, isWrite);
}
VWN_DEVICE float *weightsOfBlock(const ConnectionShape &s, const ConnectionGradTensors &io, bool isWrite) {
  return weightsOfPart(s, io, blockIdx.x, isWrite);
}

/** What is known of a kernel when it is compiled: a token's rows, 16, 32 or 64, and the most that m may be, a quarter or half of them. */
template <int count, int most, int m_ = 0, int columns_ = 0, int tokens_ = 0>
struct Slots {
  /** Of a step that writes, reads and norms, where all its numbers are known: m, db, and tokens at once; otherwise 0. */
  static constexpr int m = m_, columns = columns_, tokens = tokens_;
  static constexpr bool isKnown = columns > 0;
  static constexpr int warps = isKnown ? warpsOfKnown : warpsOfOthers;
  /** Tiles of 16 columns of the write's coefficients. */
  static constexpr int ofToken = count, tilesOfSet = count / 16 + 1;
  /** Whether coefficients of B, or A°, are in the first half of their tile. */
  static constexpr bool isNarrow = most <= 8;
  /**
   * dW, a row for each column of the state, in tiles of 8 columns: coefficients of the write, and behind them of the read. Where m
   * is up to 4, columns of A° stand in one tile with those of B, from its middle on.
   */
  static constexpr bool sharesTile = most <= 4;
  static constexpr int tilesOfRead = (most + 7) / 8, tilesOfWrite = count / 8 + tilesOfRead;
  static constexpr int firstOfRead = sharesTile ? tilesOfWrite - 1 : tilesOfWrite;
  /** Such tiles have 16 rows; a warp keeps all where they are known, or as many as make 80 registers, 96 of 64 slots; and has so many at once. */
  static constexpr int weightColumns = firstOfRead + tilesOfRead;
  static constexpr int weightRows = isKnown ? (columns + 16 * warps - 1) / (16 * warps) : (count < mostTileRows ? 20 : 24) / weightColumns;
  static constexpr int rowsAtOnce = weightRows > (isKnown ? 2 : count == mostTileRows ? 1 : 4) ? (weightRows + 1) / 2 : weightRows;
  /** Rows of dW that all warps keep; with more of them dW is made in several passes, and does not stay. */
  static constexpr int rowsOfPass = weightRows * warps * 16;
  /** Tiles that a warp makes at once of the state's gradient. */
  static constexpr int stateTiles = isKnown && weightRows < 4 && count == 16 ? 4 : 2;
};

template <class S>
VWN_DEVICE ConnectionTiles tilesOf(ConnectionTiles t) {
  if (S::isKnown) t.tokens = S::tokens, t.buffers = 2;
  return t;
}

/** A warp's tiles of dW. */
template <class S>
using WeightSums = Sum[S::weightColumns][S::weightRows];

/** A block's shared memory; rows of states, backbones and W have `stride`, those of coefficients `ofCoefficients`. */
struct GradRoom {
  bf16 *zeros, *states, *backbones, *writing, *reading, *dNext, *coefficients, *products;
  float *offsets, *scales, *ofNorm, *reciprocal, *dots, *squares, *sums;
  int stride, ofCoefficients, ofSums, ofProducts, warp; /* the last: of the block, which a compiler knows to be the same for a warp's lanes */

  /** What the sublayer's norm reads anew is needed no more when `products` are written, and what warps show lies behind these. */
  VWN_DEVICE float *read() const { return reinterpret_cast<float *>(products); }
  VWN_DEVICE float *shown() const { return reinterpret_cast<float *>(products + ofProducts); }
};

template <class S>
VWN_DEVICE GradRoom divide(const ConnectionShape &s, const ConnectionTiles &t, bf16 *at, int warp) {
  const int m = static_cast<int>(s.m), ofToken = S::ofToken, slots = t.tokens * ofToken;
  GradRoom room{};
  room.stride = static_cast<int>(s.db) + ofChunk, room.ofCoefficients = ofToken + columnsOfTile + ofChunk;
  room.ofSums = static_cast<int>(strideOfSums(s)), room.ofProducts = static_cast<int>(productsOfTiles(s, t));
  room.warp = warp;
  room.zeros = at, at += ofChunk;
  room.states = at, at += t.buffers * slots * room.stride;
  room.backbones = at, at += t.buffers * t.tokens * m * room.stride;
  room.writing = at, at += (ofToken + m) * room.stride;
  room.reading = at, at += static_cast<int>(readWeightRows(s)) * room.stride;
  room.dNext = at, at += slots * room.stride;
  room.coefficients = at, at += slots * room.ofCoefficients;
  room.products = at;
  room.offsets = reinterpret_cast<float *>(at) + static_cast<int>(bytesOfProducts(s, t, S::isKnown)) / 4;
  room.scales = room.offsets + slots * room.ofSums;
  room.ofNorm = room.scales + slots * room.ofSums;
  room.reciprocal = room.ofNorm + (s.normed ? m * static_cast<int>(s.db) : 0);
  room.dots = room.reciprocal + slots;
  room.squares = room.dots + dotsOfRows(S::isKnown);
  room.sums = room.squares + squaresOfRows(s, t, S::isKnown);
  return room;
}

/** Half a step: one of both sets, its state and backbone, and where they and its sums lie. */
struct Stage {
  const CoefficientSet &set;
  const bf16 *weights;
  bf16 *state, *backbone;
  int rows, tokens; /* of all tokens, and how many of them are there */
  int sumsFrom;     /* the set's first sum */
};

/** Which 16 columns of the state a warp's q-th row of tiles belongs to in a pass. */
template <class S>
VWN_DEVICE int weightTile(int warp, int pass, int q) {
  return (pass * S::weightRows + q) * S::warps + warp;
}

/** dW += stateᵀ·P, of one set, for those rows that a warp has in one pass. */
template <class S, bool isWrite>
VWN_DEVICE void addWeights(const ConnectionShape &s, const GradRoom &room, const Stage &stage, int pass, WeightSums<S> &sums) {
  constexpr int first = isWrite ? 0 : S::firstOfRead, count = isWrite ? S::tilesOfWrite : S::tilesOfRead;
  const int tiles = static_cast<int>(s.db) / 16;
  for (int k = 0; k < stage.rows; k += 16)
#pragma unroll
    for (int from = 0; from < S::weightRows; from += S::rowsAtOnce) {
      const int until = from + S::rowsAtOnce < S::weightRows ? from + S::rowsAtOnce : S::weightRows;
      if (weightTile<S>(room.warp, pass, from) >= tiles) break;
      Left a[S::rowsAtOnce];
#pragma unroll
      for (int q = from; q < until; q++)
        if (weightTile<S>(room.warp, pass, q) < tiles)
          a[q - from] = leftAtTransposed(stage.state + k * room.stride + weightTile<S>(room.warp, pass, q) * 16, room.stride);
#pragma unroll
      for (int c = 0; c < count; c += 2) {
        Right b[2];
        rightsAt(room.products + k * room.ofCoefficients + c * 8, room.ofCoefficients, b);
        if (!isWrite && S::sharesTile) swapHalves(b[0]);
#pragma unroll
        for (int q = from; q < until; q++) {
          if (weightTile<S>(room.warp, pass, q) >= tiles) break;
          multiplyAdd(sums[first + c][q], a[q - from], b[0]);
          if (c + 1 < count) multiplyAdd(sums[first + c + 1][q], a[q - from], b[1]);
        }
      }
    }
}

/** Adds a warp's sums of one set to their transpose, [columns, db], in the device's memory. */
template <class S, bool isWrite>
VWN_DEVICE void putWeights(const ConnectionShape &s, const GradRoom &room, int pass, float *to, const WeightSums<S> &sums) {
  constexpr int first = isWrite ? 0 : S::firstOfRead, count = isWrite ? S::tilesOfWrite : S::tilesOfRead;
  constexpr int offset = !isWrite && S::sharesTile ? -4 : 0;
  const int n = static_cast<int>(s.n), m = static_cast<int>(s.m), db = static_cast<int>(s.db);
#pragma unroll
  for (int q = 0; q < S::weightRows; q++) {
    const int tile = weightTile<S>(room.warp, pass, q);
    if (tile >= db / 16) break;
#pragma unroll
    for (int c = 0; c < count; c++) {
      // Of the write's first those of Â, and B's.
      const bool isCarry = isWrite && c * 8 < S::ofToken;
      const int before = isWrite && !isCarry ? S::ofToken : 0, columns = isCarry ? n : m;
      eachPairOf(sums[first + c][q], tile * 16, c * 8 + offset - before, [&](int d, int column, const FloatPair &pair) {
        const int at = (before ? column + n : column) * db + d;
        if (column >= 0 && column < columns) to[at] += pair.lower;
        if (column >= 0 && column + 1 < columns) to[at + db] += pair.upper;
      });
    }
  }
}

/** Of one set: in one pass that stays in registers, or in several that do not. */
template <class S, bool isWrite>
VWN_DEVICE void weightGradient(const ConnectionShape &s, const GradRoom &room, const Stage &stage, float *to, WeightSums<S> &sums) {
  const int passes = (static_cast<int>(s.db) + S::rowsOfPass - 1) / S::rowsOfPass;
  for (int pass = 0; pass < passes; pass++) {
    addWeights<S, isWrite>(s, room, stage, pass, sums);
    if (passes == 1) return;
    putWeights<S, isWrite>(s, room, pass, to, sums);
#pragma unroll
    for (auto &column : sums)
      for (Sum &sum : column) sum = {};
  }
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

/** A left factor with numbers for rows g and g + 8 on its diagonal, and zeros beside it. */
VWN_DEVICE Left diagonal(float first, float second) {
  const int apart = laneOfWarp() / 4 - laneOfWarp() % 4 * 2;
  const auto word = [&](float x) { return packed(apart == 0 ? x : 0.0f, apart == 1 ? x : 0.0f); };
  return {{word(first), 0, 0, word(second)}};
}

/** −shift of the norm's term as two left factors, of which the second is what the first one's rounding leaves. */
struct NormTerm {
  Left shifts[2];

  template <int units>
  VWN_DEVICE static NormTerm of(const ConnectionShape &s, const GradRoom &room, int first) {
    float whole[2], rest[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int row = first + laneOfWarp() / 4 + i * 8;
      float dots = 0;
#pragma unroll
      for (int unit = 0; unit < units; unit++) dots += room.dots[row * units + unit];
      const float shift = dots * room.reciprocal[row] * room.reciprocal[row] / static_cast<float>(s.db);
      whole[i] = rounded<bf16>(-shift), rest[i] = -shift - whole[i];
    }
    return {{diagonal(whole[0], whole[1]), diagonal(rest[0], rest[1])}};
  }
};

/**
 * to = the tiles' products, as `multiply` adds them to sums, − state·shift, of which `units` parts were shown. A warp reads and
 * writes tiles of its own, so `to` may be the state. By tensor cores sums cost a fifth of what they would in a lane's own registers;
 * what is not finite therefore spreads over 16 slots of a token.
 */
template <class S, int units, class Multiply>
VWN_DEVICE void stateGradient(const ConnectionShape &s, const GradRoom &room, const Stage &stage, bf16 *to, const Multiply &multiply) {
  constexpr int tilesAtOnce = S::stateTiles;
  const Share share = shareOf(stage.rows, room.warp, S::warps);
  const int tiles = static_cast<int>(s.db) / 16;
  const NormTerm norm = NormTerm::of<units>(s, room, share.row);
  const bf16 *own = stage.state + share.row * room.stride;
  for (int first = share.part; first < tiles; first += tilesAtOnce * share.parts) {
    Sum sums[tilesAtOnce][2] = {};
    multiply(share, first, tiles, sums);
#pragma unroll
    for (int i = 0; i < tilesAtOnce; i++) {
      const int tile = first + i * share.parts;
      if (tile >= tiles) break;
      Right b[2];
      rightsAt(own + tile * 16, room.stride, b);
#pragma unroll
      for (const Left &shift : norm.shifts) {
        multiplyAdd(sums[i][0], shift, b[0]);
        multiplyAdd(sums[i][1], shift, b[1]);
      }
    }
    // Lanes write where others of the warp have read.
    __syncwarp();
    eachPairOfTiles(sums, share, first, tiles, [&](int row, int column, const FloatPair &pair) {
      pairAt(to + row * room.stride + column) = packed(pair.lower, pair.upper);
    });
  }
}

}  // namespace cuda
}  // namespace vwn
