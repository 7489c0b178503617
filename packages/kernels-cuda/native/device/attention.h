/**
 * What the kernels of causal attention share. A block has 256 threads and tiles of 32 rows; 8 threads have a row of
 * queries between them: of a tile of scores each makes 4, and of an output row each makes every eighth column.
 */
#pragma once
#include <cstdint>

namespace vwn {
namespace cuda {

/** q [B, T, H, d]; k and v [B, S, K, d], a key head for H/K query heads; query t sees keys up to S − T + t. */
struct AttentionSizes {
  int64_t B, T, S, H, K, d;
  float scale;
};

constexpr int attentionTile = 32, threadsOfRow = 8, keysOfThread = attentionTile / threadsOfRow;
/** A column more than a tile has, lest its rows share banks. */
constexpr int scoreStride = attentionTile + 1;

}  // namespace cuda
}  // namespace vwn

#if defined(__CUDACC__) || defined(VWN_EMULATED)
#include "device.h"
#include "walk.h"

namespace vwn {
namespace cuda {

VWN_DEVICE int rowOfThread() { return static_cast<int>(threadIdx.x) / threadsOfRow; }
VWN_DEVICE int laneOfRow() { return static_cast<int>(threadIdx.x) % threadsOfRow; }

/** Rows [first, first + 32) of one head, [count, d] at `stride`, as float32 rows of d + 1; zero beyond `count`. */
template <class T>
VWN_DEVICE void stageRows(const T *head, int64_t stride, int64_t first, int64_t count, int64_t d, float *tile) {
  for (int64_t at = threadIdx.x; at < attentionTile * d; at += blockDim.x) {
    const int64_t row = at / d, column = at % d;
    tile[row * (d + 1) + column] = first + row < count ? toFloat(head[(first + row) * stride + column]) : 0.0f;
  }
}

/** Products of this thread's row with its 4 rows of the other tile: 0, 8, 16 and 24 after its lane. */
VWN_DEVICE void rowProducts(const float *rows, const float *others, int64_t d, float (&products)[keysOfThread]) {
  const float *row = rows + rowOfThread() * (d + 1), *other = others + laneOfRow() * (d + 1);
  for (int i = 0; i < keysOfThread; i++) products[i] = 0;
  for (int64_t c = 0; c < d; c++)
    for (int i = 0; i < keysOfThread; i++) products[i] += row[c] * other[i * threadsOfRow * (d + 1) + c];
}

VWN_DEVICE float sumOverRow(float x) {
  for (int lanes = threadsOfRow / 2; lanes > 0; lanes /= 2) x += __shfl_xor_sync(0xffffffffu, x, lanes);
  return x;
}
VWN_DEVICE float maximumOverRow(float x) {
  for (int lanes = threadsOfRow / 2; lanes > 0; lanes /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, lanes));
  return x;
}

/**
 * sums[c] += Σ_j factors[j]·tile[j, c] over the 32 rows of a tile, for this thread's columns c; `step` apart in
 * `factors` are those of one row of a tile of scores (1) or of one column (scoreStride).
 */
template <int columns>
VWN_DEVICE void addProducts(const float *factors, int step, const float *tile, int64_t d, float (&sums)[columns]) {
  for (int j = 0; j < attentionTile; j++) {
    const float factor = factors[j * step], *row = tile + j * (d + 1) + laneOfRow();
#pragma unroll
    for (int c = 0; c < columns; c++)
      if (laneOfRow() + c * threadsOfRow < d) sums[c] += factor * row[c * threadsOfRow];
  }
}

/** This thread's columns of its row, `factor` times, where the row is one of `count`. */
template <int columns, class T>
VWN_DEVICE void writeRow(const float (&sums)[columns], float factor, T *head, int64_t stride, int64_t first,
                         int64_t count, int64_t d) {
  const int64_t row = first + rowOfThread();
  if (row >= count) return;
#pragma unroll
  for (int c = 0; c < columns; c++)
    if (laneOfRow() + c * threadsOfRow < d) put(head[row * stride + laneOfRow() + c * threadsOfRow], sums[c] * factor);
}

/** Where one head begins, and how far its rows are apart. */
template <class T>
struct Head {
  T *data;
  int64_t stride;
};
template <class T>
VWN_DEVICE Head<T> queryHead(T *q, const AttentionSizes &s, int64_t batch, int64_t head) {
  return {q + (batch * s.T * s.H + head) * s.d, s.H * s.d};
}
template <class T>
VWN_DEVICE Head<T> keyHead(T *k, const AttentionSizes &s, int64_t batch, int64_t head) {
  return {k + (batch * s.S * s.K + head) * s.d, s.K * s.d};
}

/** What a gradient knows of queries, [B·H, T] each: the log of the sum of exponentials, and Σ dy·y. */
struct Statistic {
  float logSum, dot;
};
struct Statistics {
  const float *logSums, *dots;

  /** Zeros beyond the last query; `head` counts those of all sequences. */
  VWN_DEVICE Statistic of(const AttentionSizes &s, int64_t head, int64_t query) const {
    const int64_t at = head * s.T + query;
    return query < s.T ? Statistic{logSums[at], dots[at]} : Statistic{0, 0};
  }
};
/** Where the number of row `row` of q [B, T, H, d] belongs in [B·H, T]. */
VWN_DEVICE int64_t placeOfRow(const AttentionSizes &s, int64_t row) {
  const Divided token = divided(row, s.H), sequence = divided(token.quotient, s.T);
  return (sequence.quotient * s.H + token.remainder) * s.T + sequence.remainder;
}

/** The 32 queries of this block, of one head of one sequence, and the keys that they see. Grid: tiles by x, heads by y. */
template <class T>
struct QueryTile {
  int64_t batch, head, first; /* the first query */
  Head<const T> keys, values;
  int64_t seen; /* keys that this thread's query sees; 0 beyond the last query */
  int64_t end;  /* keys that the last query of the tile sees */
};
template <class T>
VWN_DEVICE QueryTile<T> queryTile(const AttentionSizes &s, const T *k, const T *v) {
  const int64_t batch = blockIdx.y / s.H, head = blockIdx.y % s.H, keyHeadOf = head / (s.H / s.K);
  const int64_t first = static_cast<int64_t>(blockIdx.x) * attentionTile, query = first + rowOfThread();
  const int64_t last = first + attentionTile < s.T ? first + attentionTile : s.T, past = s.S - s.T;
  return {batch, head, first, keyHead(k, s, batch, keyHeadOf), keyHead(v, s, batch, keyHeadOf),
          query < s.T ? past + query + 1 : 0, past + last};
}

/** Replaces what stands in a tile that all threads have read. */
template <class T>
VWN_DEVICE void restage(const Head<const T> &head, int64_t first, int64_t count, int64_t d, float *tile) {
  __syncthreads();
  stageRows(head.data, head.stride, first, count, d, tile);
  __syncthreads();
}

}  // namespace cuda
}  // namespace vwn

/**
 * Kernels for heads of up to 32, 64, 128 and 256 columns: a thread's share of a row stands in registers, whose number is
 * fixed when it is compiled. name_of64_f32 calls name<real, 8>.
 */
#define VWN_HEADS(name, params, args)           \
  VWN_HEADS_OF(name, of32, 4, params, args)     \
  VWN_HEADS_OF(name, of64, 8, params, args)     \
  VWN_HEADS_OF(name, of128, 16, params, args)   \
  VWN_HEADS_OF(name, of256, 32, params, args)
#define VWN_HEADS_OF(name, size, columns, params, args)            \
  VWN_HEADS_ENTRY(name, size, f32, float, columns, params, args)   \
  VWN_HEADS_ENTRY(name, size, bf16, ::vwn::cuda::bf16, columns, params, args)
#define VWN_HEADS_ENTRY(name, size, suffix, type, columns, params, args)                                           \
  namespace entry_##name##_##size##_##suffix {                                                                     \
  using real [[maybe_unused]] = type;                                                                              \
  extern "C" __global__ void __launch_bounds__(256, 1) name##_##size##_##suffix params { name<real, columns> args; }  \
  VWN_REGISTER(name##_##size##_##suffix)                                                                           \
  }
#endif
