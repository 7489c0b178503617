/** Rows of a table, and the gradient of the table. */
#include "eights.h"
#include "embedding-room.h"
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

/** Of bits 0, 1 … those from `begin` to `end`, wherever these lie. */
VWN_DEVICE unsigned bitsBetween(int64_t begin, int64_t end) {
  const auto below = [](int64_t at) { return at <= 0 ? 0u : at >= idsOfThread ? (1u << idsOfThread) - 1 : (1u << at) - 1; };
  return below(end) & ~below(begin);
}

/** Ids of tokens, from which blocks find those of one word, a chunk of `idsAtOnce` at a time. */
struct Ids {
  const int32_t *ids;
  int32_t word;
  int64_t begin, end; /* tokens that are asked for */

  VWN_DEVICE static int64_t ofThread(int64_t chunk) { return chunk + static_cast<int64_t>(threadIdx.x) * idsOfThread; }
  /** A bit for each of this thread's tokens of a chunk, which begins at a multiple of its size, that is the word. */
  VWN_DEVICE unsigned sameOfThread(int64_t chunk) const {
    const int64_t at = ofThread(chunk);
    const unsigned asked = bitsBetween(begin - at, end - at);
    if (asked == 0) return 0;
    const bool isWhole = at + idsOfThread <= end && beginEights(ids);
    unsigned bits = 0;
#pragma unroll
    for (int i = 0; i < idsOfThread; i += 4) {
      Chunk four = {};
      if (isWhole) four = wholeAt<Chunk>(ids + at + i);
#pragma unroll
      for (int j = 0; j < 4; j++) {
        if (!isWhole && (asked >> (i + j) & 1)) four.words[j] = static_cast<uint32_t>(ids[at + i + j]);
        if (four.words[j] == static_cast<uint32_t>(word)) bits |= 1u << (i + j);
      }
    }
    return bits & asked;
  }
};

/** Numbers of all warps behind a barrier: their sum, and that of those before this warp. */
struct SumsOfWarps {
  int before, all;
};
VWN_DEVICE SumsOfWarps sumOfWarps(int own, int32_t (&room)[gradWarps]) {
  const int warp = static_cast<int>(threadIdx.x) / warpSize_;
  if (threadIdx.x % warpSize_ == 0) room[warp] = own;
  __syncthreads();
  SumsOfWarps sums{0, 0};
#pragma unroll
  for (int i = 0; i < gradWarps; i++) {
    if (i < warp) sums.before += room[i];
    sums.all += room[i];
  }
  return sums;
}

/** Whether a token before `first` has the word: looked for from there backwards, since what occurs often is near. */
VWN_DEVICE bool occursBefore(const int32_t *ids, int32_t word, int64_t first, GradRoom &room) {
  const Ids before{ids, word, 0, first};
  int turn = 0;
  for (int64_t chunk = first / idsAtOnce * idsAtOnce; chunk >= 0; chunk -= idsAtOnce, turn ^= 1)
    if (sumOfWarps(votes(before.sameOfThread(chunk) != 0) != 0, room.found[turn]).all > 0) return true;
  __syncthreads();
  return false;
}

/** Lists the tokens of a chunk that have the word, and returns how many there are. */
VWN_DEVICE int listTokens(const Ids &ids, int64_t chunk, int turn, GradRoom &room) {
  const unsigned bits = ids.sameOfThread(chunk), lower = (1u << (threadIdx.x % warpSize_)) - 1;
  int ofWarp = 0, place = 0;
  if (votes(bits != 0))
#pragma unroll
    for (int i = 0; i < idsOfThread; i++) {
      const unsigned mask = votes(bits >> i & 1);
      ofWarp += bitsOf(mask);
      place += bitsOf(mask & lower);
    }
  const SumsOfWarps sums = sumOfWarps(ofWarp, room.found[turn]);
  if (sums.all == 0) return 0;
  place += sums.before;
#pragma unroll
  for (int i = 0; i < idsOfThread; i++)
    if (bits >> i & 1) room.tokens[place++] = static_cast<int>(Ids::ofThread(chunk)) + i;
  __syncthreads();
  return sums.all;
}

/** Adds up `columns` of each thread over all tokens of a word, in their order. */
template <int columns, class T>
VWN_DEVICE void addTokens(const Ids &ids, const T *dy, float *dRow, int64_t width, GradRoom &room) {
  const int64_t column = (static_cast<int64_t>(blockIdx.y) * gradThreads + threadIdx.x) * columns;
  float sums[columns] = {};
  int turn = 0;
  for (int64_t chunk = ids.begin / idsAtOnce * idsAtOnce; chunk < ids.end; chunk += idsAtOnce, turn ^= 1) {
    const int count = listTokens(ids, chunk, turn, room);
    if (column >= width) continue;
    for (int i = 0; i < count; i++) {
      float values[columns];
      load(dy + room.tokens[i] * width + column, values);
#pragma unroll
      for (int at = 0; at < columns; at++) sums[at] += values[at];
    }
  }
  if (column < width) store(dRow + column, sums);
}

/**
 * A block a token and 256 times `columns` columns, 8 or 1. The block of a word's first token adds up the rows of all its tokens, which
 * it looks for among all ids; the others have nothing to do but to find an earlier one. dTable is zero before.
 */
template <class T>
VWN_DEVICE void addRows(const int32_t *ids, const T *dy, float *dTable, int64_t rows, int64_t width, int64_t count, int columns,
                        int32_t *problem) {
  VWN_SHARED(GradRoom, room);
  const int64_t first = blockIdx.x;
  const int32_t word = ids[first];
  if (word < 0 || word >= rows) {
    tell(problem);
    return;
  }
  if (occursBefore(ids, word, first, *room)) return;
  const Ids all{ids, word, first, count};
  if (columns == 8) addTokens<8>(all, dy, dTable + word * width, width, *room);
  else addTokens<1>(all, dy, dTable + word * width, width, *room);
}
VWN_FLOATS(addRows,
           (const int32_t *ids, const real *dy, float *dTable, int64_t rows, int64_t width, int64_t count, int columns,
            int32_t *problem),
           (ids, dy, dTable, rows, width, count, columns, problem))

}  // namespace
}  // namespace cuda
}  // namespace vwn
