/**
 * What the kernels of causal attention by warpgroups share: bf16, heads of a multiple of 8 columns from 33 to 128, on compute
 * capability 9.0; flash.h has the others. Each warpgroup of a block makes 64 rows of a tile. Tiles lie in slabs of D = 64 or 128
 * columns, of which those from d on are zero.
 */
#pragma once
#include "flash.h"
#include "warpgroup-shape.h"

namespace vwn {
namespace cuda {

constexpr int hopperThreads = 256, hopperRows = 128, hopperLeastColumns = 33;

/** For heads of D columns: what one step past keys, or past queries, takes, as registers allow; and bytes of shared memory. */
template <int D>
struct HopperTiles {
  static constexpr int keysOfStep = D, queriesOfStep = 64;
  /** Of gradients: warpgroups of a block, and their keys. */
  static constexpr int gradGroups = D == 64 ? 3 : 2, gradThreads = groupThreads * gradGroups, gradRows = groupRows * gradGroups;
  /** Blocks that a multiprocessor holds at once. */
  static constexpr int blocks = D == 64 ? 2 : 1, gradBlocks = 1;
  /** Queries, twice keys and values; keys, values, twice queries and dy, with two numbers each, and a step's score gradients. */
  static constexpr int64_t forwardBytes = (hopperRows + 4 * keysOfStep) * D * 2,
                           gradBytes = (2 * gradRows * D + 4 * queriesOfStep * D + gradRows * queriesOfStep) * 2 +
                                       4 * queriesOfStep * 4;
};

/**
 * For each tile of 64 queries of each head, sums of dq until all keys have added theirs, and how many blocks of keys have. Sums are D for
 * each query, as a warpgroup's threads hold them.
 */
struct QuerySums {
  float *sums;
  uint32_t *turns;
  int32_t *problem;
};
/** Of a tile's sums. */
template <int D>
constexpr int64_t bytesOfQuerySums = HopperTiles<D>::queriesOfStep * D * 4;

}  // namespace cuda
}  // namespace vwn

#if defined(__CUDACC__) || defined(VWN_EMULATED)
#include "warpgroup-matrix.h"

#if defined(VWN_HAS_WARPGROUPS)
namespace vwn {
namespace cuda {

/** A block's queries: two warpgroups' rows, where flash.h counts bands of four warps. */
using HopperQueries = FlashQueries<hopperRows / flashBandRows>;

/**
 * Asks for `rows` rows, of which the first is at `from`, by `threads` of which this is one; zeros beyond the first `left` and d columns.
 * A thread has the same chunk of all its rows. `known`: some address of the same memory that may be read.
 */
template <int D, int rows, int threads = hopperThreads>
VWN_DEVICE void askForSlabs(const bf16 *from, int stride, int left, int d, const bf16 *known, bf16 *slabs,
                            int thread = static_cast<int>(threadIdx.x)) {
  constexpr int chunks = D / 8, rowsAtOnce = threads / chunks;
  static_assert(rows % rowsAtOnce == 0 && rowsAtOnce % 8 == 0, "rows that not all threads have, or whose chunks change places");
  const int row = thread / chunks, column = thread % chunks * 8;
  from += row * stride + column;
  bf16 *to = slabs + placeInSlabs(rows, row, column);
  if (left >= rows && d == D) {
#pragma unroll
    for (int i = 0; i < rows; i += rowsAtOnce, from += rowsAtOnce * stride) copyAsync(to + i * slabColumns, from, true);
    return;
  }
  const int ofThread = column >= d ? 0 : (left < rows ? left : rows) - row;
#pragma unroll
  for (int i = 0; i < rows; i += rowsAtOnce, from += rowsAtOnce * stride)
    copyAsync(to + i * slabColumns, i < ofThread ? from : known, i < ofThread);
}
/** Rows [first, first + rows) of one head's `count`. */
template <int D, int rows, int threads = hopperThreads>
VWN_DEVICE void askForSlabs(const Head<const bf16> &head, int64_t first, int64_t count, int64_t d, bf16 *slabs) {
  askForSlabs<D, rows, threads>(head.data + first * head.stride, static_cast<int>(head.stride), static_cast<int>(count - first),
                                static_cast<int>(d), head.data, slabs);
}

/** Copies that were asked for have arrived, products may read them, and all are done with what they did before. */
VWN_DEVICE void arriveForProducts() {
  awaitCopies<0>();
  fenceForProducts();
  __syncthreads();
}

/** sums = rows [row, row + 64) of `left` by all rows of `right`, which are 8·tiles: slabs of D columns. */
template <int D, int tiles>
VWN_DEVICE void groupRowsByRows(const bf16 *left, int leftRows, int row, const bf16 *right, Sum (&sums)[tiles]) {
  const RowsFactor a = factorOfRows(left + row * slabColumns), b = factorOfRows(right);
#pragma unroll
  for (int k = 0; k < D; k += 16) {
    const int inSlab = k % slabColumns, slab = k / slabColumns * slabColumns;
    multiplyGroup(sums, a + (slab * leftRows + inSlab), b + (slab * 8 * tiles + inSlab), k > 0);
  }
}
/** As above, the left rows from registers. */
template <int D, int tiles>
VWN_DEVICE void groupRowsByRows(const Left (&left)[D / 16], const bf16 *right, Sum (&sums)[tiles]) {
  const RowsFactor b = factorOfRows(right);
#pragma unroll
  for (int k = 0; k < D; k += 16)
    multiplyGroup(sums, left[k / 16], b + (k / slabColumns * slabColumns * 8 * tiles + k % slabColumns), k > 0);
}

/** Factors [64, 8·tiles] as sums hold them, rounded to bf16. */
template <int tiles>
VWN_DEVICE void toLefts(const Sum (&factors)[tiles], Left (&lefts)[tiles / 2]) {
#pragma unroll
  for (int k = 0; k < tiles; k += 2) {
    const float *low = factors[k].values, *high = factors[k + 1].values;
    lefts[k / 2] = {{packed(low[0], low[1]), packed(low[2], low[3]), packed(high[0], high[1]), packed(high[2], high[3])}};
  }
}

/** sums += factors [64, 16·depth] by the 16·depth rows of `right`, slabs of D columns. */
template <int D, int depth>
VWN_DEVICE void addGroupWeightedRows(const Left (&factors)[depth], const bf16 *right, Sum (&sums)[D / 8]) {
  const ColumnsFactor b = factorOfColumns(right, 16 * depth * slabColumns);
#pragma unroll
  for (int k = 0; k < depth; k++) multiplyGroup(sums, factors[k], b + k * 16 * slabColumns, true);
}

/** Whether a query of a group sees a key of a tile: query i sees keys up to `ahead` + i. */
VWN_DEVICE bool groupSees(int group, int ahead) { return ahead + group * groupRows + groupRows > 0; }

}  // namespace cuda
}  // namespace vwn
#endif

/** Kernels name_of64_bf16 and name_of128_bf16 that call name<64>, name<128>, in blocks as HopperTiles says. */
#define VWN_HOPPER_FLASH(name, threads, blocks, params, args)         \
  VWN_HOPPER_FLASH_ENTRY(name, 64, threads, blocks, params, args)     \
  VWN_HOPPER_FLASH_ENTRY(name, 128, threads, blocks, params, args)
#define VWN_HOPPER_FLASH_ENTRY(name, D, threads, blocks, params, args)                                        \
  namespace entry_##name##_##D {                                                                              \
  using Tiles = ::vwn::cuda::HopperTiles<D>;                                                                  \
  extern "C" __global__ void __launch_bounds__(threads, Tiles::blocks)                                     \
      name##_of##D##_bf16 params VWN_BODY_BY_WARPGROUPS(name<D> args)                                         \
  VWN_REGISTER(name##_of##D##_bf16)                                                                           \
  }
#endif
