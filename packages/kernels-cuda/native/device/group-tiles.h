/** Which rows are a group's, and which tile of which group a block is to make: only the device knows how many rows each has. */
#pragma once
#include "device.h"
#include "grouped.h"

namespace vwn {
namespace cuda {

struct Range {
  int64_t begin, end;
};

/** Rows of the group; none where offsets are not what they should be, which the flag then says. */
VWN_DEVICE Range rangeOf(const Groups &groups, int e) {
  const int64_t begin = groups.offsets[e], end = groups.offsets[e + 1];
  const bool isRange = begin >= 0 && begin <= end && end <= groups.rows;
  const bool atEnds = (e > 0 || begin == 0) && (e + 1 < groups.all || end == groups.rows);
  if (!isRange || !atEnds) tell(groups.problem);
  return isRange ? Range{begin, end} : Range{0, 0};
}

/** Row `row` and what follows, of a matrix that lies row by row. */
VWN_DEVICE Matrix fromRow(Matrix matrix, int64_t row) {
  matrix.data = static_cast<const char *>(matrix.data) + row * matrix.ld * (matrix.type == VWN_BF16 ? 2 : 4);
  return matrix;
}

/** B of a term and of group number i of the launch. */
VWN_DEVICE Matrix weightOf(const GroupedRows &p, int term, int i) {
  const int at = term * p.groups.count + i;
  return {p.weights[at], p.types[at], p.transposed, p.transposed ? p.K[term] : p.N, 0};
}

/** C of a group's rows. */
VWN_DEVICE void *rowsOfResult(const GroupedRows &p, const Range &rows) {
  return static_cast<char *>(p.c) + rows.begin * p.N * (p.type == VWN_BF16 ? 2 : 4);
}

/** ends[i] becomes the sum of ends[0 … i]. */
VWN_DEVICE void addUp(int32_t *ends, int count) {
  __syncthreads();
  const int lane = static_cast<int>(threadIdx.x);
  int32_t before = 0;
  for (int first = 0; lane < warpSize_ && first < count; first += warpSize_) {
    int32_t sum = first + lane < count ? ends[first + lane] : 0;
#pragma unroll
    for (int apart = 1; apart < warpSize_; apart *= 2) {
      const int32_t other = __shfl_sync(0xffffffffu, sum, (lane - apart) & (warpSize_ - 1));
      if (lane >= apart) sum += other;
    }
    sum += before;
    if (first + lane < count) ends[first + lane] = sum;
    before = __shfl_sync(0xffffffffu, sum, warpSize_ - 1);
  }
  __syncthreads();
}

/** The first of `count` numbers, which rise, that is greater than `tile`: the last one is. */
VWN_DEVICE int firstBeyond(const int32_t *ends, int count, int32_t tile) {
  int from = 0;
  for (int to = count - 1; from < to;) {
    const int middle = (from + to) / 2;
    if (ends[middle] > tile) to = middle;
    else from = middle + 1;
  }
  return from;
}

/**
 * Shares out tiles of `side` rows, `columns` of them side by side, to all blocks of a grid of one dimension: body(i, rows, from,
 * column) for tiles of this block, of group number i of the launch, from that row of it and that column of tiles on.
 * `ends`: numbers in shared memory, one a group.
 */
template <class Body>
VWN_DEVICE void eachTileOfGroups(const Groups &groups, int side, int columns, int32_t *ends, const Body &body) {
  for (int i = static_cast<int>(threadIdx.x); i < groups.count; i += static_cast<int>(blockDim.x)) {
    const Range rows = rangeOf(groups, groups.first + i);
    ends[i] = static_cast<int32_t>((rows.end - rows.begin + side - 1) / side);
  }
  addUp(ends, groups.count);
  const int64_t all = int64_t{ends[groups.count - 1]} * columns;
  for (int64_t at = blockIdx.x; at < all; at += gridDim.x) {
    const int32_t tile = static_cast<int32_t>(at / columns);
    const int i = firstBeyond(ends, groups.count, tile);
    const int from = (tile - (i > 0 ? ends[i - 1] : 0)) * side;
    body(i, rangeOf(groups, groups.first + i), from, static_cast<int>(at % columns) * side);
  }
}

}  // namespace cuda
}  // namespace vwn
