/** A tile of a product by tensor cores on its way from the sums of half-tile.h to C, in whole sectors of memory where rows allow. */
#pragma once
#include "half-tile.h"

namespace vwn {
namespace cuda {

struct alignas(8) SumPair {
  float lower, upper;
};

/** Where a tile of C [M, N] goes. `isInPairs`: 8 bytes of a row begin on 8 bytes, from every fourth (float32: second) column on. */
struct HalfResult {
  void *c;
  int32_t type;
  bool accumulate, isInPairs;
  int M, N, fromRow, fromColumn;
};

/** C is written once a tile: nothing that only this needs is to be kept in registers before. */
VWN_DEVICE HalfResult resultAt(void *c, int32_t type, bool accumulate, int M, int N, int fromRow, int fromColumn) {
  const uint64_t bits = reinterpret_cast<uintptr_t>(c) | static_cast<uint64_t>(N) * (type == VWN_BF16 ? 2 : 4);
  return {c, type, accumulate, bits % 8 == 0, anew(M), anew(N), anew(fromRow), anew(fromColumn)};
}

VWN_DEVICE void writePair(const HalfResult &to, int row, int column, const float *pair) {
  float *at = static_cast<float *>(to.c) + int64_t{row} * to.N + column;
  if (to.isInPairs && column < to.N) {
    const SumPair before = to.accumulate ? wholeAt<SumPair>(at) : SumPair{};
    putWhole(at, SumPair{before.lower + pair[0], before.upper + pair[1]});
    return;
  }
#pragma unroll
  for (int i = 0; i < 2; i++)
    if (column + i < to.N) at[i] = (to.accumulate ? at[i] : 0.0f) + pair[i];
}

/**
 * A lane's neighbours of two tiles of 8 columns side by side, the first from `column` on. Lanes in pairs change words, so that each
 * has four neighbours of one of the tiles, and the four lanes of a row a sector of memory.
 */
VWN_DEVICE void writeHalves(const HalfResult &to, int row, int column, const float *first, const float *second) {
  const int t = laneOfWarp() % 4;
  const uint32_t left = packed(first[0], first[1]), right = packed(second[0], second[1]);
  const uint32_t other = __shfl_xor_sync(0xffffffffu, t % 2 ? left : right, 1);
  const WordPair four = t % 2 ? WordPair{{other, right}} : WordPair{{left, other}};
  const int from = column + t % 2 * 8 + t / 2 * 4;
  if (row >= to.M) return;
  bf16 *at = static_cast<bf16 *>(to.c) + int64_t{row} * to.N + from;
  if (to.isInPairs && from < to.N) return putWhole(at, four);
#pragma unroll
  for (int i = 0; i < 4; i++)
    if (from + i < to.N) at[i] = bf16{static_cast<uint16_t>(four.words[i / 2] >> (i % 2 * 16))};
}

template <int side>
VWN_DEVICE void writeHalfTile(const HalfResult &to, const HalfSums<side> &sums) {
#pragma unroll
  for (int band = 0; band < side / 32; band++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = to.fromRow + firstRowOfQuarter<side>() + 16 * band + 8 * half + laneOfWarp() / 4;
#pragma unroll
      for (int j = 0; j < side / 16; j += 2) {
        const int column = to.fromColumn + firstColumnOfQuarter<side>() + 8 * j;
        const float *first = sums[band][j].values + 2 * half, *second = sums[band][j + 1].values + 2 * half;
        if (to.type == VWN_BF16) {
          writeHalves(to, row, column, first, second);
        } else if (row < to.M) {
          const int own = laneOfWarp() % 4 * 2;
          writePair(to, row, column + own, first);
          writePair(to, row, column + 8 + own, second);
        }
      }
    }
}

}  // namespace cuda
}  // namespace vwn
