/**
 * What both halves of a connection step's backward pass by tensor cores are made of; connection-tiles-grad.cu says what they
 * compute. Every function is for all threads of a block, and leaves the barrier behind it to the caller.
 */
#pragma once
#include <type_traits>

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
template <int count, int most>
struct Slots {
  /** Tiles of 16 columns of the write's coefficients, and those of a warp where a block has 64 rows. */
  static constexpr int ofToken = count, tilesOfSet = count / 16 + 1, tilesOfWarp = count == 64 ? 3 : count / 16;
  /**
   * dW, a row for each column of the state, in tiles of 8 columns: coefficients of the write, and behind them of the read. Where m
   * is up to 4, columns of A° stand in one tile with those of B, from its middle on.
   */
  static constexpr bool sharesTile = most <= 4;
  static constexpr int tilesOfRead = (most + 7) / 8, tilesOfWrite = count / 8 + tilesOfRead;
  static constexpr int firstOfRead = sharesTile ? tilesOfWrite - 1 : tilesOfWrite;
  /** Such tiles have 16 rows; a warp keeps as many as make 96 registers, and has so many tiles of the state at once. */
  static constexpr int weightColumns = firstOfRead + tilesOfRead, weightRows = 24 / weightColumns;
  static constexpr int rowsAtOnce = weightRows > 4 ? (weightRows + 1) / 2 : weightRows;
  /** Rows of dW that all warps keep; with more of them dW is made in several passes, and does not stay. */
  static constexpr int rowsOfPass = weightRows * tileWarps * 16;
  /** Tiles that a warp makes at once of the state's gradient, and of what is gathered. */
  static constexpr int stateTiles = 4, gatheredTiles = count == 64 ? 1 : 2;
};

/** A warp's tiles of dW. */
template <class S>
using WeightSums = Sum[S::weightColumns][S::weightRows];

/** A block's shared memory; rows of states, backbones and W have `stride`, those of coefficients `ofCoefficients`. */
struct GradRoom {
  bf16 *zeros, *states, *backbones, *writing, *reading, *dNext, *coefficients, *products;
  float *offsets, *scales, *ofNorm, *reciprocal, *dots, *sums;
  int stride, ofCoefficients, ofSums;

  /** What the sublayer's norm reads anew is needed no more when `products` are written. */
  VWN_DEVICE float *read() const { return reinterpret_cast<float *>(products); }
};

VWN_DEVICE GradRoom divide(const ConnectionShape &s, const ConnectionTiles &t, bf16 *at) {
  const int64_t stride = s.db + ofChunk, ofToken = rowsOfToken(s), slots = t.tokens * ofToken;
  const int64_t ofCoefficients = ofToken + columnsOfTile + ofChunk;
  GradRoom room{};
  room.stride = static_cast<int>(stride), room.ofCoefficients = static_cast<int>(ofCoefficients);
  room.ofSums = static_cast<int>(strideOfSums(s));
  room.zeros = at, at += ofChunk;
  room.states = at, at += t.buffers * slots * stride;
  room.backbones = at, at += t.buffers * t.tokens * s.m * stride;
  room.writing = at, at += writeColumnsOfTiles(s) * stride;
  room.reading = at, at += readWeightRows(s) * stride;
  room.dNext = at, at += slots * stride;
  room.coefficients = at, at += slots * ofCoefficients;
  room.products = at;
  room.offsets = reinterpret_cast<float *>(at) + bytesOfProducts(s, t) / 4;
  room.scales = room.offsets + slots * room.ofSums;
  room.ofNorm = room.scales + slots * room.ofSums;
  room.reciprocal = room.ofNorm + (s.normed ? s.m * s.db : 0);
  room.dots = room.reciprocal + slots;
  room.sums = room.dots + dotsOfRows;
  return room;
}

/** Half a step: one of both sets, its state and backbone, and where they and its sums lie. */
struct Stage {
  const CoefficientSet &set;
  const bf16 *weights;
  bf16 *state, *backbone;
  int rows, tokens;              /* of all tokens, and how many of them are there */
  int columns, tiles, sumsFrom; /* the set's, as tiles have them, tiles of them, and its first sum */
};

/** What a lane keeps of its coefficients until their gradients come: products with W, tanh of their norms, and 1/rms of its rows. */
template <int tilesOfWarp>
struct Kept {
  Sum products[tilesOfWarp][2], activations[tilesOfWarp][2];
  float reciprocals[2];
};

/** Calls body(i, half, v, row, column) for the pairs of numbers, v and v + 1, that a lane has of the tiles of its warp. */
template <int tilesOfWarp, class Body>
VWN_DEVICE void eachPairOfCoefficients(const Share &share, int tiles, const Body &body) {
#pragma unroll
  for (int i = 0; i < tilesOfWarp; i++) {
    const int tile = share.part + i * share.parts;
    if (tile >= tiles) break;
#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll
      for (int v = 0; v < 4; v += 2)
        body(i, half, v, share.row + laneOfWarp() / 4 + v * 4, tile * 16 + half * 8 + laneOfWarp() % 4 * 2);
  }
}

/**
 * Eqs. 11–14: coefficients of all rows, zeros where there is no slot, or the set has no column. also(i, tile, k, a): what else is to
 * be made of the left factor a, the state at k, for the warp's i-th tile.
 */
template <int ofToken, int tilesOfWarp, class Also>
VWN_DEVICE void evaluateStage(const ConnectionShape &s, const GradRoom &room, const Stage &stage, Kept<tilesOfWarp> &kept,
                              const Also &also) {
  const Share share = shareOf(stage.rows);
  if (share.part >= stage.tiles) return;
  // With 64 slots sums leave no registers.
  std::conditional_t<ofToken == 64, RowNorms, RowNormsByTiles> norms;
  for (int k = 0; k < static_cast<int>(s.db); k += 16) {
    const Left a = leftAt(stage.state + share.row * room.stride + k, room.stride);
    norms.add(a);
#pragma unroll
    for (int i = 0; i < tilesOfWarp; i++) {
      const int tile = share.part + i * share.parts;
      if (tile >= stage.tiles) break;
      Right b[2];
      rightsOfSomeRows(stage.weights + tile * 16 * room.stride + k, room.stride, stage.columns - tile * 16, room.zeros, b);
      multiplyAdd(kept.products[i][0], a, b[0]);
      multiplyAdd(kept.products[i][1], a, b[1]);
      also(i, tile, k, a);
    }
  }
  norms.reciprocals(s, share.row, endOfSlots(s, ofToken, share.row, stage.tokens), kept.reciprocals);
  if (share.part == 0 && laneOfWarp() % 4 == 0)
    for (int i = 0; i < 2; i++) room.reciprocal[share.row + laneOfWarp() / 4 + i * 8] = kept.reciprocals[i];
  eachPairOfCoefficients<tilesOfWarp>(share, stage.tiles, [&](int i, int half, int v, int row, int column) {
    const TileColumn ofSet = tileColumnOf(s, stage.set, ofToken, column);
    uint32_t alpha = 0;
    if (row % ofToken < s.n && ofSet.left > 0) {
      const PairOfColumns of = pairOfColumns(s, ofSet, row % ofToken);
      const float *products = kept.products[i][half].values + v, r = kept.reciprocals[v / 2];
      const float lower = shortTanh(products[0] * r), upper = shortTanh(products[1] * r);
      kept.activations[i][half].values[v] = lower, kept.activations[i][half].values[v + 1] = upper;
      alpha = packed(lower * of.scale.lower + of.offset.lower, upper * of.scale.upper + of.offset.upper);
    }
    pairAt(room.coefficients + row * room.ofCoefficients + column) = alpha;
  });
}

/** Of a lane's rows of the state at k, a, by `count` rows of another matrix, those of a tile of columns: its part of dÂ or dA°. */
VWN_DEVICE void addByRows(const GradRoom &room, const bf16 *others, int count, int tile, int k, const Left &a, Sum (&sums)[2]) {
  Right b[2];
  rightsOfSomeRows(others + tile * 16 * room.stride + k, room.stride, count - tile * 16, room.zeros, b);
  multiplyAdd(sums[0], a, b[0]);
  multiplyAdd(sums[1], a, b[1]);
}

/** dB = dNext·outᵀ, which stand in the set's last tile of columns. */
template <int ofToken, int tilesOfWarp>
VWN_DEVICE void betaGradient(const ConnectionShape &s, const GradRoom &room, const Stage &stage, Sum (&sums)[tilesOfWarp][2]) {
  const Share share = shareOf(stage.rows);
  const int m = static_cast<int>(s.m);
  const bf16 *out = stage.backbone + share.row / ofToken * m * room.stride;
#pragma unroll
  for (int i = 0; i < tilesOfWarp; i++) {
    if (share.part + i * share.parts != stage.tiles - 1) continue;
    for (int k = 0; k < static_cast<int>(s.db); k += 16) {
      const Left a = leftAt(room.dNext + share.row * room.stride + k, room.stride);
      Right b[2];
      rightsOfSomeRows(out + k, room.stride, m, room.zeros, b);
      multiplyAdd(sums[i][0], a, b[0]);
      multiplyAdd(sums[i][1], a, b[1]);
    }
  }
}

/**
 * From the gradients of coefficients: the sums for static parts and scales, and P; and each warp's part of P·(H·W), by
 * P as it is rounded, so that the norm's term is that of the products which will be added.
 */
template <int ofToken, int tilesOfWarp>
VWN_DEVICE void productGradient(const ConnectionShape &s, const GradRoom &room, const Stage &stage,
                                const Kept<tilesOfWarp> &kept, const Sum (&ups)[tilesOfWarp][2]) {
  const Share share = shareOf(stage.rows);
  float dots[2] = {0, 0};
  eachPairOfCoefficients<tilesOfWarp>(share, stage.tiles, [&](int i, int half, int v, int row, int column) {
    const TileColumn ofSet = tileColumnOf(s, stage.set, ofToken, column);
    uint32_t product = 0;
    if (row % ofToken < s.n && ofSet.left > 0) {
      const FloatPair scale = pairOfColumns(s, ofSet, row % ofToken).scale;
      const float *up = ups[i][half].values + v, *t = kept.activations[i][half].values + v;
      const float *products = kept.products[i][half].values + v, r = kept.reciprocals[v / 2];
      const int sum = row * room.ofSums + stage.sumsFrom + column;
      addTo(room.offsets + sum, up[0], up[1]);
      addTo(room.scales + sum, up[0] * t[0], up[1] * t[1]);
      product = packed(up[0] * scale.lower * (1.0f - t[0] * t[0]) * r, up[1] * scale.upper * (1.0f - t[1] * t[1]) * r);
      dots[v / 2] += lowerOf(product) * products[0] + upperOf(product) * products[1];
    }
    pairAt(room.products + row * room.ofCoefficients + column) = product;
  });
#pragma unroll
  for (int i = 0; i < 2; i++) {
    dots[i] = sumOverLanes(dots[i]);
    if (laneOfWarp() % 4 == 0) room.dots[(share.row + laneOfWarp() / 4 + i * 8) * share.parts + share.part] = dots[i];
  }
}

/** Which 16 columns of the state a warp's q-th row of tiles belongs to in a pass. */
template <class S>
VWN_DEVICE int weightTile(int pass, int q) {
  return (pass * S::weightRows + q) * tileWarps + warpOfBlock();
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
      if (weightTile<S>(pass, from) >= tiles) break;
      Left a[S::rowsAtOnce];
#pragma unroll
      for (int q = from; q < until; q++)
        if (weightTile<S>(pass, q) < tiles)
          a[q - from] = leftAtTransposed(stage.state + k * room.stride + weightTile<S>(pass, q) * 16, room.stride);
#pragma unroll
      for (int c = 0; c < count; c += 2) {
        Right b[2];
        rightsAt(room.products + k * room.ofCoefficients + c * 8, room.ofCoefficients, b);
        if (!isWrite && S::sharesTile) swapHalves(b[0]);
#pragma unroll
        for (int q = from; q < until; q++) {
          if (weightTile<S>(pass, q) >= tiles) break;
          multiplyAdd(sums[first + c][q], a[q - from], b[0]);
          if (c + 1 < count) multiplyAdd(sums[first + c + 1][q], a[q - from], b[1]);
        }
      }
    }
}

/** Adds a warp's sums of one set to their transpose, [columns, db], in the device's memory. */
template <class S, bool isWrite>
VWN_DEVICE void putWeights(const ConnectionShape &s, int pass, float *to, const WeightSums<S> &sums) {
  constexpr int first = isWrite ? 0 : S::firstOfRead, count = isWrite ? S::tilesOfWrite : S::tilesOfRead;
  constexpr int offset = !isWrite && S::sharesTile ? -4 : 0;
  const int n = static_cast<int>(s.n), m = static_cast<int>(s.m), db = static_cast<int>(s.db);
#pragma unroll
  for (int q = 0; q < S::weightRows; q++) {
    const int tile = weightTile<S>(pass, q);
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
    putWeights<S, isWrite>(s, pass, to, sums);
#pragma unroll
    for (auto &column : sums)
      for (Sum &sum : column) sum = {};
  }
}

/**
 * to = the tiles' products, as `multiply` adds them to sums, − state·shift, + what was there where `adds`. Each lane reads and
 * writes numbers of its own, so `to` may be the state.
 */
template <class S, class Multiply>
VWN_DEVICE void stateGradient(const ConnectionShape &s, const GradRoom &room, const Stage &stage, bool adds, bf16 *to,
                              const Multiply &multiply) {
  constexpr int tilesAtOnce = S::stateTiles;
  const Share share = shareOf(stage.rows);
  const int tiles = static_cast<int>(s.db) / 16;
  float shifts[2] = {0, 0};
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const int row = share.row + laneOfWarp() / 4 + i * 8;
    for (int part = 0; part < share.parts; part++) shifts[i] += room.dots[row * share.parts + part];
    shifts[i] *= room.reciprocal[row] * room.reciprocal[row] / static_cast<float>(s.db);
  }
  for (int first = share.part; first < tiles; first += tilesAtOnce * share.parts) {
    Sum sums[tilesAtOnce][2] = {};
    multiply(share, first, tiles, sums);
    eachPairOfTiles(sums, share, first, tiles, [&](int row, int column, const FloatPair &pair) {
      const int at = row * room.stride + column;
      const float shift = row - share.row < 8 ? shifts[0] : shifts[1];
      const uint32_t own = pairAt(stage.state + at), before = adds ? pairAt(to + at) : 0;
      pairAt(to + at) = packed(pair.lower - lowerOf(own) * shift + lowerOf(before), pair.upper - upperOf(own) * shift + upperOf(before));
    });
  }
}

}  // namespace cuda
}  // namespace vwn
