/** Products by warpgroups, right and with the mistakes that emulation is to find. */
#pragma once
#include "device/warpgroup-matrix.h"
#include "report.h"

namespace vwn {
namespace cuda {
namespace {

constexpr int groupDepth = 32, groupsOfBlock = 2, leftRows = groupsOfBlock * groupRows, mostColumns = 128;
constexpr int leftOfGroups(int row, int k) { return (row * 3 + k * 5) % 7 - 3; }
constexpr int rightOfGroups(int k, int column) { return (k * 3 + column * 5) % 11 - 5; }

/** Where a factor is: fragments of its rows in registers, its rows in slabs, or its columns. */
enum class Lies { inRegisters, asRows, asColumns };

/** Number k of row `i` of a left factor of `rows` rows, or of a right one's column. */
VWN_DEVICE int placeOfNumber(Lies lies, int rows, int i, int k) {
  return lies == Lies::asColumns ? placeInSlabs(groupDepth, k, i) : placeInSlabs(rows, i, k);
}

/** Left factors of all groups at `left`, and the right one behind them. */
VWN_DEVICE bf16 *fillFactors(bf16 *left, Lies leftLies, Lies rightLies, int columns) {
  bf16 *right = left + leftRows * slabColumns;
  for (int i = threadIdx.x; i < leftRows * groupDepth; i += blockDim.x) {
    const int row = i / groupDepth, k = i % groupDepth;
    put(left[placeOfNumber(leftLies, leftRows, row, k)], static_cast<float>(leftOfGroups(row, k)));
  }
  for (int i = threadIdx.x; i < columns * groupDepth; i += blockDim.x) {
    const int column = i / groupDepth, k = i % groupDepth;
    put(right[placeOfNumber(rightLies, columns, column, k)], static_cast<float>(rightOfGroups(k, column)));
  }
  return right;
}

template <int tiles>
VWN_DEVICE void writeSums(const Sum (&sums)[tiles], float *to) {
  const int row = static_cast<int>(threadIdx.x) / warpSize_ * 16 + laneOfWarp() / 4;
  for (int j = 0; j < tiles; j++)
    for (int i = 0; i < 4; i++) to[(row + i / 2 * 8) * mostColumns + j * 8 + laneOfWarp() % 4 * 2 + i % 2] = sums[j].values[i];
}

template <int tiles, class B>
VWN_DEVICE void multiplyBy(const bf16 *left, Lies leftLies, B b, bool adds, int k, Sum (&sums)[tiles]) {
  const int group = groupOfBlock(), warpRow = static_cast<int>(threadIdx.x) / warpSize_ * 16;
  if (leftLies == Lies::inRegisters) multiplyGroup(sums, leftOfSlabs(left, leftRows, warpRow, k), b, adds);
  else if (leftLies == Lies::asRows) multiplyGroup(sums, factorOfRows(left + group * groupRows * slabColumns + k), b, adds);
  else multiplyGroup(sums, factorOfColumns(left + (group * groupDepth + k) * slabColumns, 0), b, adds);
}

template <int tiles>
VWN_DEVICE void multiplyTiles(bf16 *left, float *to, Lies leftLies, Lies rightLies, bool awaits) {
  const bf16 *right = fillFactors(left, leftLies, rightLies, 8 * tiles);
  fenceForProducts();
  __syncthreads();
  Sum sums[tiles];
  beginProducts();
  for (int k = 0; k < groupDepth; k += 16)
    if (rightLies == Lies::asRows) multiplyBy(left, leftLies, factorOfRows(right + k), k > 0, k, sums);
    else multiplyBy(left, leftLies, factorOfColumns(right + k * slabColumns, groupDepth * slabColumns), k > 0, k, sums);
  commitProducts();
  if (awaits) awaitProducts<0>();
  writeSums(sums, to);
}
/** [128, 32] by [32, 8·tiles], half of the rows each group. */
template <class T>
VWN_DEVICE void groupProducts(T *to, int tiles, Lies leftLies, Lies rightLies, bool awaits) {
  VWN_SHARED_SLABS(left);
  if (tiles == 1) multiplyTiles<1>(left, to, leftLies, rightLies, awaits);
  if (tiles == 4) multiplyTiles<4>(left, to, leftLies, rightLies, awaits);
  if (tiles == 5) multiplyTiles<5>(left, to, leftLies, rightLies, awaits);
  if (tiles == 8) multiplyTiles<8>(left, to, leftLies, rightLies, awaits);
  if (tiles == 9) multiplyTiles<9>(left, to, leftLies, rightLies, awaits);
  if (tiles == 16) multiplyTiles<16>(left, to, leftLies, rightLies, awaits);
}
VWN_SINGLE(groupProducts, (real *to, int tiles, Lies leftLies, Lies rightLies, bool awaits), (to, tiles, leftLies, rightLies, awaits))

enum class Mistake {
  none,
  oddFactor,
  noBegin,
  warpLeftOut,
  warpsDisagree,
  noFence,
  noBarrier,
  fenceTooLate,
  fenceBeforeCopies,
  overwrittenWhilePending,
  overwrittenBehindBarrier,
  overwrittenAfterwards
};

/** Writes the right factor anew, a row each thread of the group's first half. */
VWN_DEVICE void overwriteRight(bf16 *right) {
  const int row = static_cast<int>(threadIdx.x);
  for (int k = 0; k < groupDepth && row < groupRows; k++) put(right[placeInSlab(row, k)], 100);
  fenceForProducts();
}

/** Zeros arrive where the right factor was, 16 bytes from each thread. */
VWN_DEVICE void copyZeros(bf16 *right, const float *anything) {
  __syncthreads();
  copyAsync(right + 8 * threadIdx.x, anything, false);
  commitCopies();
  awaitCopies<0>();
}

/** One group's [64, 16] by [16, 64], and what may be wrong with that. */
template <class T>
VWN_DEVICE void groupMistake(T *to, Mistake mistake) {
  VWN_SHARED_SLABS(left);
  const int warp = static_cast<int>(threadIdx.x) / warpSize_;
  bf16 *right = fillFactors(left, Lies::asRows, Lies::asRows, groupRows);
  if (mistake != Mistake::noFence && mistake != Mistake::fenceTooLate) fenceForProducts();
  if (mistake == Mistake::fenceBeforeCopies) copyZeros(right, to);
  if (mistake != Mistake::noBarrier) __syncthreads();
  Sum sums[8];
  if (mistake != Mistake::noBegin) beginProducts();
  const int odd = mistake == Mistake::oddFactor ? 4 * slabColumns : mistake == Mistake::warpsDisagree ? warp / 2 * 16 : 0;
  if (mistake != Mistake::warpLeftOut || warp < 3) multiplyGroup(sums, factorOfRows(left + odd), factorOfRows(right), false);
  commitProducts();
  if (mistake == Mistake::fenceTooLate) fenceForProducts(), __syncthreads();
  if (mistake == Mistake::overwrittenBehindBarrier) __syncthreads(), overwriteRight(right), __syncthreads();
  if (mistake == Mistake::overwrittenWhilePending) overwriteRight(right);
  awaitProducts<0>();
  if (mistake == Mistake::overwrittenAfterwards) overwriteRight(right);
  writeSums(sums, to);
}
VWN_SINGLE(groupMistake, (real *to, Mistake mistake), (to, mistake))

constexpr int64_t groupSharedBytes = (leftRows + mostColumns) * slabColumns * 2;

inline void reportMistake(const char *title, Mistake mistake, float *to) {
  report(title, "groupMistake_f32", {1}, groupThreads, groupSharedBytes, to, mistake);
}

}  // namespace
}  // namespace cuda
}  // namespace vwn
