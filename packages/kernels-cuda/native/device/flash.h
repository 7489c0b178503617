/**
 * What the kernels of causal attention by tensor cores share: bf16, heads of a multiple of 8 columns up to 128. A block has
 * 4 warps; of a tile of 64·bands rows each warp makes `bands` bands of 16, so that what it reads of the other tile serves
 * them all. Tiles lie in shared memory as bf16 rows of D + 8 columns, so that the 8 rows which ldmatrix reads at once lie in
 * different banks. Columns from d up to D, which is 32, 64 or 128, are zero.
 */
#pragma once
#include "attention.h"

namespace vwn {
namespace cuda {

constexpr int flashThreads = 128, flashMostColumns = 128;
/** Lanes that have 8 columns each of a row of dy·y. */
constexpr int flashLanesOfDot = flashMostColumns / 8;
constexpr int flashBandRows = 64; /* rows of a tile for each band of its warps */

/** Bands and rows of tiles for heads of D columns: as many as sums in registers allow. */
template <int D>
struct FlashTiles {
  static constexpr bool isWide = D > 64;
  /** Of queries, which go past keys (forward and dq), and of keys, which go past queries (dk and dv). */
  static constexpr int queryBands = 2, keyBands = isWide ? 1 : 2;
  static constexpr int queryRows = queryBands * flashBandRows, keyRows = keyBands * flashBandRows;
  /** What one step past keys, or past queries, takes. */
  static constexpr int keysOfStep = isWide ? 32 : 64, queriesOfStep = 32;
  /** Shared memory: queries, keys, values; queries, dy, keys, values; keys, values, dy, two of queries. */
  static constexpr int64_t rowBytes = (D + 8) * 2, forwardBytes = (queryRows + 2 * keysOfStep) * rowBytes,
                           queryGradBytes = 2 * (queryRows + keysOfStep) * rowBytes,
                           keyGradBytes = (2 * keyRows + 3 * queriesOfStep) * rowBytes;
};

}  // namespace cuda
}  // namespace vwn

#if defined(__CUDACC__) || defined(VWN_EMULATED)
#include "warp-matrix.h"

namespace vwn {
namespace cuda {

constexpr float log2OfE = 1.4426950408889634f;

/** Asks for rows [first, first + rows) of one head; zeros beyond `count` and d. A thread has the same 8 columns of all rows. */
template <int D, int rows>
VWN_DEVICE void askFor(const Head<const bf16> &head, int64_t first, int64_t count, int64_t d, bf16 *tile) {
  constexpr int chunks = D / 8, rowsAtOnce = flashThreads / chunks;
  static_assert(rows % rowsAtOnce == 0, "rows that not all threads have");
  const int thread = static_cast<int>(threadIdx.x), row = thread / chunks, column = thread % chunks * 8;
  const int left = static_cast<int>(column >= d ? 0 : count - first < rows ? count - first : rows);
  const bf16 *from = head.data + (first + row) * head.stride + column;
  bf16 *to = tile + row * (D + 8) + column;
#pragma unroll
  for (int i = 0; i < rows; i += rowsAtOnce, from += rowsAtOnce * head.stride) {
    const bool isThere = row + i < left;
    copyAsync(to + i * (D + 8), isThere ? from : head.data, isThere);
  }
}

/** A float32 number of each row of a tile, in the padding behind its columns. */
template <int D>
VWN_DEVICE float *placeOfNumber(bf16 *tile, int row) {
  return reinterpret_cast<float *>(tile + row * (D + 8) + D);
}
template <int D>
VWN_DEVICE float numberOfRow(const bf16 *tile, int row) {
  return *reinterpret_cast<const float *>(tile + row * (D + 8) + D);
}
/** Asks for them, [first, first + rows) of one head's [T]; zeros beyond `count`. */
template <int D, int rows>
VWN_DEVICE void askFor(const float *head, int64_t first, int64_t count, bf16 *tile) {
  const int row = static_cast<int>(threadIdx.x);
  if (row >= rows) return;
  const bool isThere = first + row < count;
  copyAsync<4>(placeOfNumber<D>(tile, row), isThere ? head + first + row : head, isThere);
}

/** Copies that were asked for have arrived, of all threads, and all are done with what they did before. */
template <int pending>
VWN_DEVICE void arrive() {
  awaitCopies<pending>();
  __syncthreads();
}

/** The first of this warp's rows in a tile of 64·bands. */
template <int bands>
VWN_DEVICE int firstRowOfWarp() {
  return warpOfBlock() * 16 * bands;
}
/** The row, of a tile, that values 0 and 1 of a sum of one band (half 0) or 2 and 3 (half 1) belong to. */
template <int bands>
VWN_DEVICE int rowOfSum(int band, int half) {
  return firstRowOfWarp<bands>() + band * 16 + half * 8 + laneOfWarp() / 4;
}
/** The column of value `i` of sums[j]. */
VWN_DEVICE int columnOfSum(int j, int i) { return j * 8 + laneOfWarp() % 4 * 2 + i % 2; }

/** Products of this warp's rows of `left` with all rows of `right`: sums[band][j] are those with rows 8j … 8j + 7. */
template <int D, int bands, int tiles>
VWN_DEVICE void rowsByRows(const bf16 *left, const bf16 *right, Sum (&sums)[bands][tiles]) {
#pragma unroll
  for (int band = 0; band < bands; band++)
    for (int j = 0; j < tiles; j++) sums[band][j] = {};
#pragma unroll
  for (int k = 0; k < D; k += 16) {
    Left a[bands];
#pragma unroll
    for (int band = 0; band < bands; band++)
      a[band] = leftAt(left + (firstRowOfWarp<bands>() + band * 16) * (D + 8) + k, D + 8);
#pragma unroll
    for (int j = 0; j < tiles; j += 2) {
      Right b[2];
      rightsOfRows(right + j * 8 * (D + 8) + k, D + 8, b);
#pragma unroll
      for (int band = 0; band < bands; band++) {
        multiplyAdd(sums[band][j], a[band], b[0]);
        multiplyAdd(sums[band][j + 1], a[band], b[1]);
      }
    }
  }
}

/** sums += factors [16·bands, 8·tiles] of this warp, as rowsByRows leaves them, by the 8·tiles rows of `right`. */
template <int D, int bands, int tiles>
VWN_DEVICE void addWeightedRows(const Sum (&factors)[bands][tiles], const bf16 *right, Sum (&sums)[bands][D / 8]) {
#pragma unroll
  for (int k = 0; k < tiles; k += 2) {
    Left a[bands];
#pragma unroll
    for (int band = 0; band < bands; band++) {
      const float *low = factors[band][k].values, *high = factors[band][k + 1].values;
      a[band] = {{packed(low[0], low[1]), packed(low[2], low[3]), packed(high[0], high[1]), packed(high[2], high[3])}};
    }
#pragma unroll
    for (int j = 0; j < D / 8; j += 2) {
      Right b[2];
      rightsAt(right + k * 8 * (D + 8) + j * 8, D + 8, b);
#pragma unroll
      for (int band = 0; band < bands; band++) {
        multiplyAdd(sums[band][j], a[band], b[0]);
        multiplyAdd(sums[band][j + 1], a[band], b[1]);
      }
    }
  }
}

VWN_DEVICE float maximumOverLanes(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

/** 2^x in one instruction: exp2f spends three more on results too small for a probability to matter. */
VWN_DEVICE float powerOf2(float x) {
#if defined(__CUDACC__)
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return exp2f(x);
#endif
}

/** −∞ where a query, a row, does not see a key, a column: row i sees keys up to column `ahead` + i. */
template <int bands, int tiles>
VWN_DEVICE void hideUnseen(int ahead, Sum (&scores)[bands][tiles]) {
  if (8 * tiles - 1 <= ahead + firstRowOfWarp<bands>()) return;
#pragma unroll
  for (int band = 0; band < bands; band++)
    for (int j = 0; j < tiles; j++)
      for (int i = 0; i < 4; i++)
        if (columnOfSum(j, i) > ahead + rowOfSum<bands>(band, i / 2)) scores[band][j].values[i] = -INFINITY;
}

/** Softmax as keys arrive, for the two rows that a thread has of a band. */
struct OnlineSoftmax {
  float most[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};

  /** Scores become exp2((score − maximum) · exponentScale); shrink: what sums of before are to be multiplied by. */
  template <int tiles>
  VWN_DEVICE void take(Sum (&scores)[tiles], float exponentScale, float (&shrink)[2]) {
#pragma unroll
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
          scores[j].values[i] = powerOf2(scores[j].values[i] * exponentScale - shift);
          part += scores[j].values[i];
        }
      shrink[half] = powerOf2(most[half] * exponentScale - shift);
      total[half] = total[half] * shrink[half] + sumOverLanes(part);
      most[half] = top;
    }
  }
};

/** One head of q, y or of a gradient; `head` counts those of all sequences. */
template <class T>
VWN_DEVICE Head<T> headOfQueries(T *q, const AttentionSizes &s, int head) {
  return queryHead(q, s, head / static_cast<int>(s.H), head % static_cast<int>(s.H));
}

/** A block's queries of one head, and the keys that they see. Grid: tiles of queries by x, the last ones first, heads by y. */
template <int bands>
struct FlashQueries {
  int head, first, end; /* of all sequences' heads; the first query; keys that the last query sees */
  int64_t ofKeys;       /* where the keys and values of this head begin */

  VWN_DEVICE explicit FlashQueries(const AttentionSizes &s) {
    constexpr int rows = bands * flashBandRows;
    head = static_cast<int>(blockIdx.y);
    first = static_cast<int>(gridDim.x - 1 - blockIdx.x) * rows;
    end = static_cast<int>(s.S - s.T + (first + rows < s.T ? first + rows : s.T));
    const int H = static_cast<int>(s.H), K = static_cast<int>(s.K);
    ofKeys = (head / H * s.S * K + head % H / (H / K)) * s.d;
  }
  /** The head's keys or values. */
  VWN_DEVICE Head<const bf16> keyHead(const bf16 *k, const AttentionSizes &s) const { return {k + ofKeys, s.K * s.d}; }
  /** How many keys beyond `key` the first query sees. */
  VWN_DEVICE int ahead(const AttentionSizes &s, int key) const { return static_cast<int>(s.S - s.T) + first - key; }
};
/** Whether a query of this warp sees a key of a tile. */
template <int bands>
VWN_DEVICE bool warpSees(int ahead) {
  return ahead + firstRowOfWarp<bands>() + 16 * bands > 0;
}

/** This warp's rows, times a factor for each, where the row is one of `count`. */
template <int D, int bands>
VWN_DEVICE void writeRows(const Sum (&sums)[bands][D / 8], const float (&factors)[bands][2], const Head<bf16> &to,
                          int64_t first, int64_t count, int64_t d) {
#pragma unroll
  for (int band = 0; band < bands; band++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int64_t row = first + rowOfSum<bands>(band, half);
      if (row >= count) continue;
      const float factor = factors[band][half];
#pragma unroll
      for (int j = 0; j < D / 8; j++)
        if (j * 8 < d) {
          const float *pair = sums[band][j].values + 2 * half;
          const uint32_t word = packed(pair[0] * factor, pair[1] * factor);
          *reinterpret_cast<uint32_t *>(to.data + row * to.stride + columnOfSum(j, 0)) = word;
        }
    }
}
/** As above, one factor for all. */
template <int D, int bands>
VWN_DEVICE void writeRows(const Sum (&sums)[bands][D / 8], float factor, const Head<bf16> &to, int64_t first, int64_t count,
                          int64_t d) {
  float factors[bands][2];
#pragma unroll
  for (int band = 0; band < bands; band++) factors[band][0] = factors[band][1] = factor;
  writeRows<D>(sums, factors, to, first, count, d);
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
  extern "C" __global__ void __launch_bounds__(128, 2) name##_of##D##_bf16 params { name<D> args; }             \
  VWN_REGISTER(name##_of##D##_bf16)                                                                             \
  }
#endif
