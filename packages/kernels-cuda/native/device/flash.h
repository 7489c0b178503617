/**
 * What the kernels of causal attention by tensor cores share: bf16, heads of a multiple of 8 columns up to 128. A block has
 * 4 warps and tiles of 64 rows, of which each warp makes 16; tiles lie in shared memory as bf16 rows of D + 8 columns, so
 * that the 8 rows which ldmatrix reads at once lie in different banks. Columns from d up to D, a multiple of 32, are zero.
 */
#pragma once
#include "attention.h"

namespace vwn {
namespace cuda {

constexpr int flashThreads = 128, flashTile = 64, flashMostColumns = 128;
/** Rows of the tiles that a block of keys is taken past in the backward pass: fewer where sums of wide heads fill registers. */
template <int D>
constexpr int queryRowsOf = D > 64 ? 32 : 64;
constexpr int64_t flashQueryRows(int64_t D) { return D > 64 ? queryRowsOf<128> : queryRowsOf<64>; }
constexpr int64_t flashColumns(int64_t d) { return d <= 32 ? 32 : d <= 64 ? 64 : 128; }
constexpr int64_t flashTileBytes(int64_t rows, int64_t D) { return rows * (D + 8) * 2; }

}  // namespace cuda
}  // namespace vwn

#if defined(__CUDACC__) || defined(VWN_EMULATED)
#include "warp-matrix.h"

namespace vwn {
namespace cuda {

constexpr float log2OfE = 1.4426950408889634f;

/** Asks for rows [first, first + rows) of one head; zeros beyond `count` and d. */
template <int D, int rows>
VWN_DEVICE void askFor(const Head<const bf16> &head, int64_t first, int64_t count, int64_t d, bf16 *tile) {
  constexpr int chunks = D / 8;
  for (int at = static_cast<int>(threadIdx.x); at < rows * chunks; at += flashThreads) {
    const int row = at / chunks, column = at % chunks * 8;
    const bool isThere = first + row < count && column < d;
    copyAsync(tile + row * (D + 8) + column, head.data + (isThere ? (first + row) * head.stride + column : 0), isThere);
  }
}

/** Copies that were asked for have arrived, of all threads, and all are done with what they did before. */
template <int pending>
VWN_DEVICE void arrive() {
  awaitCopies<pending>();
  __syncthreads();
}

/** Products of this warp's 16 rows of `left` with all rows of `right`: sums[j] are those with rows 8j … 8j + 7. */
template <int D, int tiles>
VWN_DEVICE void rowsByRows(const bf16 *left, const bf16 *right, Sum (&sums)[tiles]) {
#pragma unroll
  for (int j = 0; j < tiles; j++) sums[j] = {};
#pragma unroll
  for (int k = 0; k < D; k += 16) {
    const Left a = leftAt(left + warpOfBlock() * 16 * (D + 8) + k, D + 8);
#pragma unroll
    for (int j = 0; j < tiles; j += 2) {
      Right b[2];
      rightsOfRows(right + j * 8 * (D + 8) + k, D + 8, b);
      multiplyAdd(sums[j], a, b[0]);
      multiplyAdd(sums[j + 1], a, b[1]);
    }
  }
}

/** sums += factors [16, 8·tiles] of this warp, as rowsByRows leaves them, by the 8·tiles rows of `right`. */
template <int D, int tiles>
VWN_DEVICE void addWeightedRows(const Sum (&factors)[tiles], const bf16 *right, Sum (&sums)[D / 8]) {
#pragma unroll
  for (int k = 0; k < tiles; k += 2) {
    const float *low = factors[k].values, *high = factors[k + 1].values;
    const Left a{{packed(low[0], low[1]), packed(low[2], low[3]), packed(high[0], high[1]), packed(high[2], high[3])}};
#pragma unroll
    for (int j = 0; j < D / 8; j += 2) {
      Right b[2];
      rightsAt(right + k * 8 * (D + 8) + j * 8, D + 8, b);
      multiplyAdd(sums[j], a, b[0]);
      multiplyAdd(sums[j + 1], a, b[1]);
    }
  }
}

/** The row, of the 64 of a tile, that values 0 and 1 of a sum (half 0) or 2 and 3 (half 1) belong to. */
VWN_DEVICE int rowOfSum(int half) { return warpOfBlock() * 16 + half * 8 + laneOfWarp() / 4; }
/** The column of value `i` of sums[j]. */
VWN_DEVICE int columnOfSum(int j, int i) { return j * 8 + laneOfWarp() % 4 * 2 + i % 2; }

/** Over the four lanes that hold a row between them. */
VWN_DEVICE float sumOverLanes(float x) {
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}
VWN_DEVICE float maximumOverLanes(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

/** −∞ where a query does not see a key; `seen`: keys that the queries of both halves see, the first being `key`. */
template <int tiles>
VWN_DEVICE void hideUnseen(int64_t key, const int64_t (&seen)[2], Sum (&scores)[tiles]) {
  // Later rows see more, but for those behind the last query, which see nothing.
  if (key + 8 * tiles <= seen[0] && key + 8 * tiles <= seen[1]) return;
#pragma unroll
  for (int j = 0; j < tiles; j++)
    for (int i = 0; i < 4; i++)
      if (key + columnOfSum(j, i) >= seen[i / 2]) scores[j].values[i] = -INFINITY;
}

/** Softmax as keys arrive, for the two rows of a thread; scores are times `scale` · log2(e) where they are exponents. */
struct OnlineSoftmax {
  float most[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};

  /** Scores become exp(score − maximum); shrink: what sums of before are to be multiplied by. */
  template <int tiles>
  VWN_DEVICE void take(Sum (&scores)[tiles], float exponentScale, float (&shrink)[2]) {
    for (int half = 0; half < 2; half++) {
      float top = most[half], part = 0;
#pragma unroll
      for (int j = 0; j < tiles; j++) top = fmaxf(top, fmaxf(scores[j].values[2 * half], scores[j].values[2 * half + 1]));
      top = maximumOverLanes(top);
      // A row that has seen nothing yet has no maximum to take away.
      const float shift = top == -INFINITY ? 0.0f : top * exponentScale;
#pragma unroll
      for (int j = 0; j < tiles; j++)
        for (int i = 2 * half; i < 2 * half + 2; i++) {
          scores[j].values[i] = exp2f(scores[j].values[i] * exponentScale - shift);
          part += scores[j].values[i];
        }
      shrink[half] = exp2f(most[half] * exponentScale - shift);
      total[half] = total[half] * shrink[half] + sumOverLanes(part);
      most[half] = top;
    }
  }
};

/** A block's 64 queries of one head, and the keys that they see. Grid: tiles of queries by x, the last ones first, heads by y. */
struct FlashQueries {
  int64_t batch, head, first;
  Head<const bf16> keys, values;
  int64_t seen[2]; /* keys that this thread's two queries see; 0 behind the last query */
  int64_t tiles;   /* of keys, for all queries of the block */
};
VWN_DEVICE FlashQueries flashQueries(const AttentionSizes &s, const bf16 *k, const bf16 *v) {
  const int64_t batch = blockIdx.y / s.H, head = blockIdx.y % s.H, of = head / (s.H / s.K), past = s.S - s.T;
  const int64_t first = static_cast<int64_t>(gridDim.x - 1 - blockIdx.x) * flashTile;
  const int64_t last = first + flashTile < s.T ? first + flashTile : s.T;
  FlashQueries tile{batch, head, first, keyHead(k, s, batch, of), keyHead(v, s, batch, of), {},
                    (past + last + flashTile - 1) / flashTile};
  for (int half = 0; half < 2; half++) {
    const int64_t query = first + rowOfSum(half);
    tile.seen[half] = query < s.T ? past + query + 1 : 0;
  }
  return tile;
}

/** This warp's 16 rows, times a factor for each half, where the row is one of `count`. */
template <int D>
VWN_DEVICE void writeRows(const Sum (&sums)[D / 8], const float (&factors)[2], const Head<bf16> &to, int64_t first,
                          int64_t count, int64_t d) {
  for (int half = 0; half < 2; half++) {
    const int64_t row = first + rowOfSum(half);
    if (row >= count) continue;
#pragma unroll
    for (int j = 0; j < D / 8; j++)
      if (j * 8 < d) {
        const float *pair = sums[j].values + 2 * half;
        const uint32_t word = packed(pair[0] * factors[half], pair[1] * factors[half]);
        *reinterpret_cast<uint32_t *>(to.data + row * to.stride + columnOfSum(j, 0)) = word;
      }
  }
}

}  // namespace cuda
}  // namespace vwn

/** Kernels name_of32_bf16, name_of64_bf16 and name_of128_bf16 that call name<32>, …: columns in registers are fixed. */
#define VWN_FLASH(name, params, args)         \
  VWN_FLASH_ENTRY(name, 32, params, args)     \
  VWN_FLASH_ENTRY(name, 64, params, args)     \
  VWN_FLASH_ENTRY(name, 128, params, args)
#define VWN_FLASH_ENTRY(name, D, params, args)                                                                  \
  namespace entry_##name##_##D {                                                                                \
  extern "C" __global__ void __launch_bounds__(128, 1) name##_of##D##_bf16 params { name<D> args; }             \
  VWN_REGISTER(name##_of##D##_bf16)                                                                             \
  }
#endif
