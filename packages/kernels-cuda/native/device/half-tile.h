/**
 * A tile of a matrix product by tensor cores: a block makes side × side of C, each of its 2 × 2 warps a quarter of it, from
 * slices of A and B (half-slices.h) that arrive while those before are multiplied. Factors are bf16, sums float32.
 */
#pragma once
#include "half-slices.h"

namespace vwn {
namespace cuda {

/** sums[band][j]: rows [16·band, …) and columns [8·j, …) of this warp's quarter. */
template <int side>
using HalfSums = Sum[side / 32][side / 16];

/** Where this warp's quarter begins in the tile. */
template <int side>
VWN_DEVICE int firstRowOfQuarter() {
  return warpOfBlock() / 2 * (side / 2);
}
template <int side>
VWN_DEVICE int firstColumnOfQuarter() {
  return warpOfBlock() % 2 * (side / 2);
}

/** sums += units [k, k + 16) of both slices. */
template <int side, bool aAlongK, bool bAlongK>
VWN_DEVICE void multiplyUnits(const bf16 *a, const bf16 *b, int k, HalfSums<side> &sums) {
  constexpr int bands = side / 32, tiles = side / 16;
  Left left[bands];
#pragma unroll
  for (int band = 0; band < bands; band++)
    left[band] = leftOfSlice<side, aAlongK>(a, firstRowOfQuarter<side>() + 16 * band, k);
#pragma unroll
  for (int j = 0; j < tiles; j += 2) {
    Right right[2];
    rightsOfSlice<side, bAlongK>(b, firstColumnOfQuarter<side>() + 8 * j, k, right);
#pragma unroll
    for (int band = 0; band < bands; band++) {
      multiplyAdd(sums[band][j], left[band], right[0]);
      multiplyAdd(sums[band][j + 1], left[band], right[1]);
    }
  }
}

/** The factors of a tile's product, and room for their slices. */
template <int side, bool aAlongK, bool bAlongK>
struct HalfFactors {
  HalfOperand<side, aAlongK> a;
  HalfOperand<side, bAlongK> b;
  int K;
  bf16 *slices;

  VWN_DEVICE bf16 *ofA(int stage) const { return slices + stage * side * halfDepth; }
  VWN_DEVICE bf16 *ofB(int stage) const { return ofA(halfStages + stage); }
  /** Slices from unit k on, if there are such: what no register has to hold meanwhile. */
  VWN_DEVICE void askFor(int k, int stage) {
    if (k < K) {
      askForSlice(a, k, ofA(stage));
      askForSlice(b, k, ofB(stage));
      loadSlice(a, k, ofA(stage));
      loadSlice(b, k, ofB(stage));
    }
    commitCopies();
  }
  /** sums += the product of stage `now`, if it has come; slices from unit `then` on go to stage `next` by registers. */
  VWN_DEVICE void multiply(bool hasCome, int now, int then, int next, HalfSums<side> &sums) {
    HeldSlice<side> held;
    if (then < K) holdSlice(a, then, held);
    if (hasCome) multiplyUnits<side, aAlongK, bAlongK>(ofA(now), ofB(now), 0, sums);
    if (then < K) {
      putSlice(a, held, ofA(next));
      holdSlice(b, then, held);
    }
    if (hasCome) multiplyUnits<side, aAlongK, bAlongK>(ofA(now), ofB(now), 16, sums);
    if (then < K) putSlice(b, held, ofB(next));
  }
};

/** sums += A·B of the tile; nobody uses the slices any more when this returns. */
template <int side, bool aAlongK, bool bAlongK>
VWN_DEVICE void addHalfProduct(HalfFactors<side, aAlongK, bAlongK> factors, HalfSums<side> &sums) {
  constexpr int last = halfStages - 1, ahead = last * halfDepth;
  int now = 1, next = 0;
  for (int k = -ahead; k < factors.K; k += halfDepth) {
    // Behind the barrier all have what they asked for, and are done with the slice that the next one takes the place of.
    awaitCopies<last - 1>();
    __syncthreads();
    factors.askFor(k + ahead, next);
    factors.multiply(k >= 0, now, k + ahead, next, sums);
    now = now == last ? 0 : now + 1;
    next = next == last ? 0 : next + 1;
  }
  __syncthreads();
}

}  // namespace cuda
}  // namespace vwn

/** Kernels name_large_nt, … that call name<side, whether A lies along K, whether B does>. */
#define VWN_HALF_ENTRY(name, size, side, layout, aAlongK, bAlongK, params, args)                               \
  namespace entry_##name##_##size##_##layout {                                                                 \
  extern "C" __global__ void __launch_bounds__(128, HalfShape<side>::blocks) name##_##size##_##layout params { \
    name<side, aAlongK, bAlongK> args;                                                                         \
  }                                                                                                            \
  VWN_REGISTER(name##_##size##_##layout)                                                                       \
  }
/** Both sizes; `layout`: of A and of B, n as it is, t where its transpose lies there. */
#define VWN_HALF_ENTRIES(name, layout, aAlongK, bAlongK, params, args)                   \
  VWN_HALF_ENTRY(name, large, largeHalfSide, layout, aAlongK, bAlongK, params, args)     \
  VWN_HALF_ENTRY(name, small, smallHalfSide, layout, aAlongK, bAlongK, params, args)
