/**
 * Coefficients of a connection step's forward pass by tensor cores. Each warp multiplies 16 rows of the state, in a part of its
 * columns, by all of a set's W, and shows its sums, each of 8 coefficients; then it adds up what warps have shown of some of them.
 */
#pragma once
#include "connection-tiles.h"

namespace vwn {
namespace cuda {

/** What is known of a kernel when it is compiled: a token's rows, and m and db of a step that writes, reads and norms, or 0. */
template <int count, int m_ = 0, int columns_ = 0>
struct Rows {
  static constexpr int ofToken = count, m = m_, columns = columns_;
  static constexpr bool isKnown = columns > 0;
  /** Turns of a loop over tiles at once, as registers allow. */
  static constexpr int turnsAtOnce = isKnown ? 4 : mostTileRows / ofToken;
  /** Halves of 8 columns that B and A° each may have. */
  static constexpr int halvesOfBackbone = isKnown && m <= 8 ? 1 : 2;
  template <bool isWrite>
  static constexpr int halves = (isWrite ? ofToken / 8 : 0) + halvesOfBackbone;
};

/** A block's shared memory; matrices of bf16 have rows of `stride`, coefficients of `ofCoefficients`. */
struct TileRoom {
  bf16 *zeros, *coefficients, *writing, *reading, *backbones, *next, *states;
  float *squares;
  int stride, ofCoefficients, ofState, warp; /* ofState: from one state to the next; warp: as in GradRoom */
};

template <class S>
VWN_DEVICE TileRoom divide(const ConnectionShape &s, const ConnectionTiles &t, bf16 *at) {
  constexpr int ofToken = S::ofToken;
  const int m = static_cast<int>(s.m);
  TileRoom room{};
  room.stride = static_cast<int>(s.db) + ofChunk, room.ofCoefficients = ofToken + columnsOfTile + ofChunk;
  room.ofState = static_cast<int>(roomOfState(s, t, S::isKnown));
  room.warp = __shfl_sync(0xffffffffu, warpOfBlock(), 0) & (warpsOfForward - 1);
  room.zeros = at, at += ofChunk;
  room.writing = at, at += (ofToken + m) * room.stride;
  room.reading = at, at += static_cast<int>(readWeightRows(s)) * room.stride;
  room.squares = reinterpret_cast<float *>(at), at += 2 * squaresOfForward;
  room.coefficients = at, at += t.tokens * ofToken * room.ofCoefficients;
  room.next = at, at += room.ofState;
  room.states = at, at += t.buffers * room.ofState;
  room.backbones = at;
  return room;
}

/** Calls body(part) for each of 2, 4 or 8 parts, as many as warps of a block have the same rows or token. */
template <class Body>
VWN_DEVICE void eachPart(int parts, const Body &body) {
  const auto some = [&](int from, int to) {
#pragma unroll
    for (int part = from; part < to; part++) body(part);
  };
  some(0, 2);
  if (parts > 2) some(2, 4);
  if (parts > 4) some(4, 8);
}

/** Where a lane's numbers of what a warp shows of a half lie. */
template <class S, bool isWrite>
VWN_DEVICE float *shownAt(float *shown, int warp, int half) {
  return shown + (warp * S::template halves<isWrite> + half) * shownOfHalf + laneOfWarp() * 4;
}

/** Shows this warp's part of its rows' products with W, and of their squares. */
template <class S, bool isWrite>
VWN_DEVICE void showProducts(const ConnectionShape &s, const TileRoom &room, const Share &share, const bf16 *state, const bf16 *weights,
                             float *shown) {
  constexpr int halves = S::template halves<isWrite>;
  Sum sums[halves] = {};
  RowNormsByTiles norms;
  const bf16 *own = state + share.row * room.stride;
  const Stretch tiles = stretchOf(static_cast<int>(s.db) / 16, share.part, share.parts);
#pragma unroll(S::turnsAtOnce)
  for (int k = tiles.begin * 16; k < tiles.end * 16; k += 16) {
    const Left a = leftAt(own + k, room.stride);
    norms.add(a);
#pragma unroll
    for (int half = 0; half < halves; half += 2) {
      Right b[2];
      const bf16 *rows = weights + half * 8 * room.stride + k;
      if (isWrite) rightsOfRows(rows, room.stride, b);
      else rightsOfFirstRows(rows, room.stride, static_cast<int>(s.m), b);
      multiplyAdd(sums[half], a, b[0]);
      if (half + 1 < halves) multiplyAdd(sums[half + 1], a, b[1]);
    }
  }
#pragma unroll
  for (int half = 0; half < halves; half++) putWhole(shownAt<S, isWrite>(shown, room.warp, half), sums[half]);
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const float squares = sumOverLanes(norms.ownSquares(i));
    if (laneOfWarp() % 4 == 0) room.squares[(share.row + laneOfWarp() / 4 + i * 8) * share.parts + share.part] = squares;
  }
}

/** 1/rms of a lane's rows by what warps have shown: 0 where there is no slot. */
template <class S>
VWN_DEVICE void addSquares(const ConnectionShape &s, const TileRoom &room, const Share &share, int tokens, float (&to)[2]) {
  const int present = endOfSlots(s, S::ofToken, share.row, tokens);
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const int row = share.row + laneOfWarp() / 4 + i * 8;
    float squares = 0;
    eachPart(share.parts, [&](int part) { squares += room.squares[row * share.parts + part]; });
    to[i] = row < present ? rsqrtf(squares / static_cast<float>(s.db) + s.eps) : 0.0f;
  }
}

/** alpha = S ∘ tanh(norm(h)·W/√db) + static of a warp's share of the halves; zeros where there is no slot, or the set has no column. */
template <class S, bool isWrite>
VWN_DEVICE void makeCoefficients(const ConnectionShape &s, const CoefficientSet &set, const TileRoom &room, const Share &share, int tokens,
                                 float *shown) {
  const int apart = warpsOfForward / share.parts, first = room.warp & (apart - 1);
  float reciprocals[2];
  addSquares<S>(s, room, share, tokens, reciprocals);
#pragma unroll 1
  for (int half = share.part; half < S::template halves<isWrite>; half += share.parts) {
    Sum sum{};
    eachPart(share.parts, [&](int part) {
      const auto own = wholeAt<Sum>(shownAt<S, isWrite>(shown, first + part * apart, half));
#pragma unroll
      for (int i = 0; i < 4; i++) sum.values[i] += own.values[i];
    });
    const TileColumn ofSet = tileColumnOf(s, set, S::ofToken, half * 8 + laneOfWarp() % 4 * 2);
    eachPairOf(sum, share.row, half * 8, [&](int row, int column, const FloatPair &product) {
      const int slot = row & (S::ofToken - 1);
      const float r = row - share.row < 8 ? reciprocals[0] : reciprocals[1];
      pairAt(room.coefficients + row * room.ofCoefficients + column) =
          slot < s.n && ofSet.left > 0 ? alphaOf(pairOfColumns(s, ofSet, slot), tanhOf(product, r)) : 0;
    });
  }
}

}  // namespace cuda
}  // namespace vwn
