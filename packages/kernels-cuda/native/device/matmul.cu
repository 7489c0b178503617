/**
 * Matrix products of any transposition and storage. A block makes a tile of C, 64 × 64, from slices of A and B that lie in
 * shared memory as float32, 16 units of K at a time; a thread makes 4 × 4 of it, rows and columns 16 apart, so that the
 * threads of a warp read neighbouring banks. Float32 arithmetic: this is what runs without cuBLASLt.
 */
#include "device.h"
#include "product.h"

namespace vwn {
namespace cuda {
namespace {

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

VWN_DEVICE void writeTile(const Product &p, int64_t batch, int64_t fromRow, int64_t fromColumn,
                          const float (&sums)[own][own]) {
  for (int i = 0; i < own; i++)
    for (int j = 0; j < own; j++) {
      const int64_t row = fromRow + threadIdx.x / apart + i * apart, column = fromColumn + threadIdx.x % apart + j * apart;
      if (row >= p.M || column >= p.N) continue;
      const int64_t at = batch * p.strideC + row * p.N + column;
      if (p.type == VWN_BF16) put(static_cast<bf16 *>(p.c)[at], sums[i][j]);
      else if (p.accumulate) static_cast<float *>(p.c)[at] += sums[i][j];
      else static_cast<float *>(p.c)[at] = sums[i][j];
    }
}

/** Grid: tiles of C by x, matrices of the batch by y (in turns). */
template <class T>
VWN_DEVICE void matmul(const Product &p) {
  VWN_SHARED(float, slices);
  float *a = slices, *b = slices + depth * sliceStride;
  const int64_t columns = (p.N + tileSize - 1) / tileSize;
  const int64_t fromRow = blockIdx.x / columns * tileSize, fromColumn = blockIdx.x % columns * tileSize;
  for (int64_t batch = blockIdx.y; batch < p.batch; batch += gridDim.y) {
    float sums[own][own] = {};
    for (int t = 0; t < p.terms; t++) {
      const Term &term = p.each[t];
      for (int64_t k = 0; k < term.K; k += depth) {
        stage(term.a, false, batch, fromRow, p.M, k, term.K, p.halves, a);
        stage(term.b, true, batch, fromColumn, p.N, k, term.K, p.halves, b);
        __syncthreads();
        multiply(a, b, sums);
        __syncthreads();
      }
    }
    writeTile(p, batch, fromRow, fromColumn, sums);
  }
}
VWN_SINGLE(matmul, (Product product), (product))

}  // namespace
}  // namespace cuda
}  // namespace vwn
