/**
 * A tile of a matrix product: a block makes 64 × 64 of C from slices of A and B that lie in shared memory as float32, 16
 * units of K at a time; a thread makes 4 × 4 of it, rows and columns 16 apart, so that the threads of a warp read
 * neighbouring banks. Float32 arithmetic, any transposition and storage.
 */
#pragma once
#include "device.h"
#include "product.h"

namespace vwn {
namespace cuda {

constexpr int tileSize = 64, depth = 16, apart = 16, own = tileSize / apart;
/** A column more than a slice has, lest the threads that write one all meet in one bank. */
constexpr int sliceStride = tileSize + 1;

VWN_DEVICE float elementOf(const Matrix &m, int64_t batch, int64_t row, int64_t column) {
  const int64_t at = batch * m.stride + (m.transposed ? column * m.ld + row : row * m.ld + column);
  return m.type == VWN_BF16 ? toFloat(static_cast<const bf16 *>(m.data)[at]) : static_cast<const float *>(m.data)[at];
}

/**
 * slice[k][i] of 16 units of K and 64 rows of A (or columns of B), zero beyond the matrix. Neighbouring threads read
 * neighbours in memory, whichever way that is.
 */
VWN_DEVICE void stage(const Matrix &m, bool isB, int64_t batch, int64_t from, int64_t size, int64_t k, int64_t K,
                      bool halves, float *slice) {
  const bool alongK = isB ? m.transposed : !m.transposed;
  for (int t = 0; t < tileSize * depth / maximumThreads; t++) {
    const int index = static_cast<int>(threadIdx.x) + t * maximumThreads;
    const int unit = alongK ? index % depth : index / tileSize, i = alongK ? index / depth : index % tileSize;
    float value = 0;
    if (from + i < size && k + unit < K)
      value = isB ? elementOf(m, batch, k + unit, from + i) : elementOf(m, batch, from + i, k + unit);
    slice[unit * sliceStride + i] = halves ? rounded<bf16>(value) : value;
  }
}

VWN_DEVICE void multiply(const float *a, const float *b, float (&sums)[own][own]) {
  const int row = threadIdx.x / apart, column = threadIdx.x % apart;
#pragma unroll
  for (int unit = 0; unit < depth; unit++) {
    float left[own], right[own];
    for (int i = 0; i < own; i++) {
      left[i] = a[unit * sliceStride + row + i * apart];
      right[i] = b[unit * sliceStride + column + i * apart];
    }
    for (int i = 0; i < own; i++)
      for (int j = 0; j < own; j++) sums[i][j] += left[i] * right[j];
  }
}

/** Tiles that cover so many rows or columns. */
VWN_DEVICE int64_t tilesOf(int64_t size) { return (size + tileSize - 1) / tileSize; }

/** sums += A [M, K] · B [K, N] of the tile at fromRow, fromColumn; `slices` hold 2 · depth · sliceStride floats. */
VWN_DEVICE void addProduct(const Matrix &A, const Matrix &B, int64_t batch, int64_t M, int64_t N, int64_t K, bool halves,
                           int64_t fromRow, int64_t fromColumn, float *slices, float (&sums)[own][own]) {
  float *a = slices, *b = slices + depth * sliceStride;
  for (int64_t k = 0; k < K; k += depth) {
    stage(A, false, batch, fromRow, M, k, K, halves, a);
    stage(B, true, batch, fromColumn, N, k, K, halves, b);
    __syncthreads();
    multiply(a, b, sums);
    __syncthreads();
  }
}

template <class T>
VWN_DEVICE void addOrPut(T &to, bool adds, float sum) {
  put(to, adds ? toFloat(to) + sum : sum);
}

/** The thread's part of a tile into C [M, N], of `type`. */
VWN_DEVICE void writeTile(void *c, int32_t type, bool accumulate, int64_t M, int64_t N, int64_t fromRow, int64_t fromColumn,
                          const float (&sums)[own][own]) {
  for (int i = 0; i < own; i++)
    for (int j = 0; j < own; j++) {
      const int64_t row = fromRow + threadIdx.x / apart + i * apart, column = fromColumn + threadIdx.x % apart + j * apart;
      if (row >= M || column >= N) continue;
      const int64_t at = row * N + column;
      if (type == VWN_BF16) addOrPut(static_cast<bf16 *>(c)[at], accumulate, sums[i][j]);
      else addOrPut(static_cast<float *>(c)[at], accumulate, sums[i][j]);
    }
}

}  // namespace cuda
}  // namespace vwn
