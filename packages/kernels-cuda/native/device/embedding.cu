/** Rows of a table, and the gradient of the table. */
#include "eights.h"
#include "walk.h"

namespace vwn {
namespace cuda {
namespace {

template <class T>
VWN_DEVICE void copyRows(const T *table, const int32_t *ids, void *y, int64_t rows, int64_t width, int64_t count,
                         int toHalves, int32_t *problem) {
  const bool byEights = width % 8 == 0 && beginEights(table, static_cast<const float *>(y));
  eachOfGrid(count * width, byEights, [&](int64_t at, auto each) {
    const Divided token = divided(at, width);
    const int64_t id = ids[token.quotient];
    const bool isRow = id >= 0 && id < rows;
    if (!isRow) tell(problem);
    float values[decltype(each)::value] = {};
    if (isRow) load(table + id * width + token.remainder, values);
    if (toHalves) store(static_cast<bf16 *>(y) + at, values);
    else store(static_cast<float *>(y) + at, values);
  });
}
VWN_FLOATS(copyRows,
           (const real *table, const int32_t *ids, void *y, int64_t rows, int64_t width, int64_t count, int toHalves,
            int32_t *problem),
           (table, ids, y, rows, width, count, toHalves, problem))

/** Which of tokens [from, from + threads) have this id: a mask for each warp, the same for all threads. */
VWN_DEVICE void findTokens(const int32_t *ids, int64_t from, int64_t end, int32_t id, unsigned *masks) {
  const int64_t token = from + threadIdx.x;
  const unsigned mask = votes(token < end && ids[token] == id);
  __syncthreads();
  if (threadIdx.x % warpSize_ == 0) masks[threadIdx.x / warpSize_] = mask;
  __syncthreads();
}

/**
 * A block a token and 256 columns. The block of an id's first token adds up the rows of all its tokens, in their order;
 * the others have nothing to do. dTable is zero before.
 */
template <class T>
VWN_DEVICE void addRows(const int32_t *ids, const T *dy, float *dTable, int64_t rows, int64_t width, int64_t count,
                        int32_t *problem) {
  VWN_SHARED(unsigned, masks);
  const int64_t first = blockIdx.x, column = static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x;
  const int warps = static_cast<int>(blockDim.x) / warpSize_;
  const int32_t id = ids[first];
  if (id < 0 || id >= rows) {
    tell(problem);
    return;
  }
  for (int64_t from = 0; from < first; from += blockDim.x) {
    findTokens(ids, from, first, id, masks);
    for (int warp = 0; warp < warps; warp++)
      if (masks[warp]) return;
  }
  float sum = 0;
  for (int64_t from = first; from < count; from += blockDim.x) {
    findTokens(ids, from, count, id, masks);
    for (int warp = 0; warp < warps; warp++)
      for (unsigned mask = masks[warp], at = 0; mask; mask >>= 1, at++)
        if ((mask & 1u) && column < width) sum += toFloat(dy[(from + warp * warpSize_ + at) * width + column]);
  }
  if (column < width) dTable[id * width + column] = sum;
}
VWN_FLOATS(addRows,
           (const int32_t *ids, const real *dy, float *dTable, int64_t rows, int64_t width, int64_t count,
            int32_t *problem),
           (ids, dy, dTable, rows, width, count, problem))

}  // namespace
}  // namespace cuda
}  // namespace vwn
