/**
 * The columns of its tokens that a block of the backward pass by warpgroups has: all, or its half, where two blocks share tokens whose
 * states are too wide for one. Sums over columns are then made of what both show each other, in a room that begins with `products`
 * of hopper-connection-grad.h: so the other block may write there from the end of one stage to its turn in the next.
 */
#pragma once
#include "block-cluster.h"
#include "hopper-connection.h"

#if defined(VWN_HAS_WARPGROUPS)
namespace vwn {
namespace cuda {

/** Of what a thread shows, where the read's products with W, its gradients and the norm's two sums begin: behind `products`. */
constexpr int placeOfRead = hopperProductBytes / (4 * groupThreads), placeOfReadGradient = placeOfRead + 6,
              placeOfNorm = placeOfReadGradient + 4;
static_assert(hopperShownByFirst == 8 * tilesOfGroup + 2 && hopperShownBySecond == 8 * (tilesOfGroup - 1) + 2,
              "two sums for each of a group's tiles, of which one is the first group's, and two of squares");

template <class Body>
VWN_DEVICE void eachOfSum(Sum &sum, const Body &body) {
#pragma unroll
  for (int i = 0; i < 4; i++) body(sum.values[i]);
}

template <bool isShared>
struct HopperColumns {
  int first, count; /* of db */
  float *room;      /* for what the other block shows */

  VWN_DEVICE int slabs() const { return count / slabColumns; }
  /** Blocks that share tokens are one part of the grid. */
  VWN_DEVICE static int64_t part() { return anew(static_cast<int>(blockIdx.x)) / (isShared ? 2 : 1); }
  VWN_DEVICE static int64_t parts() { return gridDim.x / (isShared ? 2 : 1); }

  /** From here on the other block may write to this one's room. */
  VWN_DEVICE void leaveRoom() const {
    if constexpr (isShared) arriveInCluster();
  }
  /** Until the other block has left room for what is shown. */
  VWN_DEVICE void awaitRoom() const {
    if constexpr (isShared) awaitCluster();
  }
  /** What both blocks have shown until here is there for either. */
  VWN_DEVICE void pass() const {
    arriveInCluster();
    awaitCluster();
  }
  /**
   * Sums over all columns, the same bits in both blocks: each thread adds what the same one of the other block has. each(body) calls
   * body(x) for these numbers, whose place in the room is `number`: one for every thread of a group behind another.
   */
  template <class Each>
  VWN_DEVICE void addOthers(int number, const Each &each) const {
    if constexpr (isShared) {
      float *const own = room + number * groupThreads + static_cast<int>(threadIdx.x) % groupThreads, *at = own;
      each([&](float &x) { putInOther(at, x), at += groupThreads; });
      pass();
      at = own;
      each([&](float &x) { x += *at, at += groupThreads; });
    }
  }
  /** All have added what was shown where `products` will be. */
  VWN_DEVICE void endRoom() const {
    if constexpr (isShared) __syncthreads();
  }
  /** Sums over the block, or both blocks, of two numbers of each thread; `sums`: room for two of each warp. */
  VWN_DEVICE FloatPair totals(int number, const FloatPair &own, float *sums) const {
    const FloatPair ofWarp = {warpSum(own.lower), warpSum(own.upper)};
    if (laneOfWarp() == 0) putPair(sums + 2 * warpOfBlock(), ofWarp);
    __syncthreads();
    FloatPair all = {0, 0};
#pragma unroll
    for (int warp = 0; warp < 2 * groupThreads / warpSize_; warp++) {
      const FloatPair each = pairAt(sums + 2 * warp);
      all.lower += each.lower, all.upper += each.upper;
    }
    if constexpr (!isShared) return all;
    float *const at = room + number * groupThreads;
    if (threadIdx.x == 0) putInOther(at, all.lower), putInOther(at + groupThreads, all.upper);
    pass();
    return {all.lower + at[0], all.upper + at[groupThreads]};
  }
};

template <bool isShared>
VWN_DEVICE HopperColumns<isShared> columnsOfBlock(const ConnectionShape &s) {
  const int db = static_cast<int>(s.db);
  if constexpr (!isShared) return {0, db, nullptr};
  const int most = static_cast<int>(columnsOfFirst(s));
  return rankInCluster() == 0 ? HopperColumns<isShared>{0, most, nullptr} : HopperColumns<isShared>{most, db - most, nullptr};
}

}  // namespace cuda
}  // namespace vwn
#endif
