/** Sums of a tile by tensor cores (half-tile.h) on their way to C, in whole sectors of memory where rows of C begin on 8 bytes. */
#pragma once
#include "half-tile.h"

namespace vwn {
namespace cuda {

struct alignas(8) SumPair {
  float values[2];
};

/** A tile of C [M, N]. */
struct HalfResult {
  void *c;
  int32_t type;
  int M, N, fromRow, fromColumn;

  VWN_DEVICE bool isIn8Bytes() const {
    return (reinterpret_cast<uintptr_t>(c) | static_cast<uint64_t>(N) * (type == VWN_BF16 ? 2 : 4)) % 8 == 0;
  }
};

/**
 * body(at, left, first, second) for each row of a lane and two tiles of 8 columns side by side, of which first and second are sums,
 * two each. `at`: what is the lane's to write of them, from their column number `ofLane` on; `left`: how many columns C has from
 * there on, none where it has no such row.
 */
template <int side, class T, class Body>
VWN_DEVICE void eachTwoTiles(const HalfResult &to, int ofLane, HalfSums<side> &sums, const Body &body) {
  // Made for the tile's end only: nothing of it is to be kept in registers before.
  const int N = anew(to.N), column = anew(to.fromColumn) + firstColumnOfQuarter<side>() + ofLane;
  const int firstRow = anew(to.fromRow) + firstRowOfQuarter<side>() + laneOfWarp() / 4;
#pragma unroll
  for (int band = 0; band < side / 32; band++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = firstRow + 16 * band + 8 * half, left = row < to.M ? N - column : 0;
      T *at = static_cast<T *>(to.c) + (int64_t{row} * N + column);
#pragma unroll
      for (int j = 0; j < side / 16; j += 2)
        body(at + 8 * j, left - 8 * j, sums[band][j].values + 2 * half, sums[band][j + 1].values + 2 * half);
    }
}

/** Of float32 a lane has two columns of each tile, and the four lanes of a row a sector of memory between them. */
template <int side, class Pair>
VWN_DEVICE void eachPairOfFloats(const HalfResult &to, HalfSums<side> &sums, const Pair &pair) {
  eachTwoTiles<side, float>(to, laneOfWarp() % 4 * 2, sums, [&](float *at, int left, float *first, float *second) {
    pair(at, left, first);
    pair(at + 8, left - 8, second);
  });
}

/** Sums that are to be added to C begin with it. */
template <int side>
VWN_DEVICE void beginWith(const HalfResult &from, HalfSums<side> &sums) {
  if (from.type == VWN_BF16)
    eachTwoTiles<side, bf16>(from, laneOfWarp() % 4 * 2, sums, [](const bf16 *at, int left, float *first, float *second) {
      for (int i = 0; i < 2; i++) first[i] = i < left ? toFloat(at[i]) : 0.0f, second[i] = i + 8 < left ? toFloat(at[i + 8]) : 0.0f;
    });
  else if (from.isIn8Bytes())
    eachPairOfFloats<side>(from, sums, [](const float *at, int left, float *pair) {
      const SumPair before = left > 0 ? wholeAt<SumPair>(at) : SumPair{};
      pair[0] = before.values[0], pair[1] = before.values[1];
    });
  else
    eachPairOfFloats<side>(from, sums, [](const float *at, int left, float *pair) {
      for (int i = 0; i < 2; i++) pair[i] = i < left ? at[i] : 0.0f;
    });
}

template <int side>
VWN_DEVICE void writeFloats(const HalfResult &to, HalfSums<side> &sums) {
  if (to.isIn8Bytes())
    eachPairOfFloats<side>(to, sums, [](float *at, int left, const float *pair) {
      if (left > 0) putWhole(at, SumPair{{pair[0], pair[1]}});
    });
  else
    eachPairOfFloats<side>(to, sums, [](float *at, int left, const float *pair) {
      for (int i = 0; i < 2; i++)
        if (i < left) at[i] = pair[i];
    });
}

/**
 * Of bf16, lanes in pairs change words, so that each has four columns of one of two tiles, and the four lanes of a row a sector of
 * memory between them.
 */
template <int side>
VWN_DEVICE void writeHalves(const HalfResult &to, HalfSums<side> &sums) {
  const int t = laneOfWarp() % 4;
  const auto each = [&](const auto &write) {
    eachTwoTiles<side, bf16>(to, t % 2 * 8 + t / 2 * 4, sums, [&](bf16 *at, int left, const float *first, const float *second) {
      const uint32_t lower = packed(first[0], first[1]), upper = packed(second[0], second[1]);
      const uint32_t other = __shfl_xor_sync(0xffffffffu, t % 2 ? lower : upper, 1);
      write(at, left, WordPair{{t % 2 ? other : lower, t % 2 ? upper : other}});
    });
  };
  if (to.isIn8Bytes())
    each([](bf16 *at, int left, const WordPair &four) {
      if (left > 0) putWhole(at, four);
    });
  else
    each([](bf16 *at, int left, const WordPair &four) {
      for (int i = 0; i < 4; i++)
        if (i < left) at[i] = bf16{static_cast<uint16_t>(four.words[i / 2] >> (i % 2 * 16))};
    });
}

template <int side>
VWN_DEVICE void writeHalfTile(const HalfResult &to, HalfSums<side> &sums) {
  if (to.type == VWN_BF16) writeHalves<side>(to, sums);
  else writeFloats<side>(to, sums);
}

}  // namespace cuda
}  // namespace vwn
