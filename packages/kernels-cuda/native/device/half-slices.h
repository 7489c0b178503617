/**
 * Slices of a product's operands as bf16 in shared memory, for tensor cores: `side` rows of A, or columns of B, by halfDepth
 * units of K. A slice lies as its operand does: rows along K, or units of K with all rows (columns) of the tile. Chunks of 16
 * bytes change places within a row by its number, so that the 8 which ldmatrix reads at once, and the 8 which lanes write at
 * once, lie in different banks.
 *
 * bf16 whose rows begin and end on 16 bytes is copied past registers. Float32 that lies so is rounded on its way: a thread
 * holds its part of a slice while another one is multiplied. What lies otherwise is taken number by number.
 */
#pragma once
#include "half-shape.h"
#include "product.h"
#include "warp-matrix.h"

namespace vwn {
namespace cuda {

/** x, in the compiler's eyes a new number each time: what is made of it is made again, and not kept in registers all along. */
VWN_DEVICE int anew(int x) {
#if defined(__CUDACC__)
  asm volatile("" : "+r"(x));
#endif
  return x;
}
VWN_DEVICE int64_t anew(int64_t x) {
#if defined(__CUDACC__)
  asm volatile("" : "+l"(x));
#endif
  return x;
}

struct alignas(16) Quad {
  float values[4];
};
struct alignas(8) WordPair {
  uint32_t words[2];
};

template <int side, bool alongK>
struct HalfSlice {
  static constexpr int rows = alongK ? side : halfDepth, columns = alongK ? halfDepth : side, elements = rows * columns;

  VWN_DEVICE static int at(int row, int column) {
    return row * columns + (column / 8 ^ (alongK ? row / 2 % 4 : row % 8)) * 8 + column % 8;
  }
};

/** What a tile takes of a matrix: `length` rows of A, or columns of B, by K units. */
struct HalfOperand {
  const void *data; /* of the first of them, where k = 0 */
  int64_t ld;
  int K, length;
  bool isHalf, isInChunks; /* bf16; rows in memory begin and end on 16 bytes */
};

template <int side, bool alongK>
VWN_DEVICE HalfOperand operandOf(const Matrix &m, int64_t batch, int from, int size, int K) {
  const int64_t bytes = m.type == VWN_BF16 ? 2 : 4;
  const char *data = static_cast<const char *>(m.data) + (batch * m.stride + from * (alongK ? m.ld : 1)) * bytes;
  const uint64_t bits = reinterpret_cast<uintptr_t>(data) | static_cast<uint64_t>((m.ld | (alongK ? K : size)) * bytes);
  return {data, m.ld, K, size - from < side ? size - from : side, m.type == VWN_BF16, bits % 16 == 0};
}

/** Which part of a slice from unit k on lies inside the matrix, in rows and columns as they lie in memory. */
struct Inside {
  int rows, columns;
};
/** This thread's parts of `width` columns of a slice: those of one column, every `apart` rows. */
template <int side, bool alongK, int width>
struct Parts {
  static constexpr int across = HalfSlice<side, alongK>::columns / width, apart = halfThreads / across,
                       count = HalfSlice<side, alongK>::rows / apart;
  int row, column;
  int64_t first, step; /* where the first one lies in the operand, and from one to the next */
  Inside inside;

  VWN_DEVICE Parts(const HalfOperand &m, int k) {
    const int thread = anew(static_cast<int>(threadIdx.x));
    const int64_t ld = anew(m.ld);
    row = thread / across, column = thread % across * width;
    first = (alongK ? row * ld + k : (int64_t{k} + row) * ld) + column, step = apart * ld;
    const int units = m.K - k < halfDepth ? m.K - k : halfDepth;
    inside = {alongK ? m.length : units, alongK ? units : m.length};
  }
  VWN_DEVICE bool isThere(int i) const { return row + i * apart < inside.rows && column < inside.columns; }
  VWN_DEVICE bf16 *place(bf16 *slice, int i) const { return slice + HalfSlice<side, alongK>::at(row + i * apart, column); }
};

/** Asks for the slice from unit k on; zeros beyond the matrix. Only of bf16 in chunks: else nothing. */
template <int side, bool alongK>
VWN_DEVICE void askForSlice(const HalfOperand &m, int k, bf16 *slice) {
  if (!m.isHalf || !m.isInChunks) return;
  const Parts<side, alongK, 8> parts(m, k);
  const bf16 *const data = static_cast<const bf16 *>(m.data), *from = data + parts.first;
#pragma unroll
  for (int i = 0; i < parts.count; i++, from += parts.step) {
    copyAsync(parts.place(slice, i), parts.isThere(i) ? from : data, parts.isThere(i));
  }
}

/** A thread's part of a slice of float32 on its way through registers. */
template <int side>
struct HeldSlice {
  Quad quads[side * halfDepth / halfThreads / 4];
};

/** Loads the slice from unit k on; zeros beyond the matrix. Only of float32 in chunks. */
template <int side, bool alongK>
VWN_DEVICE void holdSlice(const HalfOperand &m, int k, HeldSlice<side> &held) {
  if (m.isHalf || !m.isInChunks) return;
  const Parts<side, alongK, 4> parts(m, k);
  const float *from = static_cast<const float *>(m.data) + parts.first;
#pragma unroll
  for (int i = 0; i < parts.count; i++, from += parts.step) {
    held.quads[i] = parts.isThere(i) ? wholeAt<Quad>(from) : Quad{};
  }
}

/** What holdSlice has loaded, rounded to bf16, into the slice. */
template <int side, bool alongK>
VWN_DEVICE void putSlice(const HalfOperand &m, const HeldSlice<side> &held, bf16 *slice) {
  if (m.isHalf || !m.isInChunks) return;
  const Parts<side, alongK, 4> parts(m, 0);
#pragma unroll
  for (int i = 0; i < parts.count; i++) {
    const float *quad = held.quads[i].values;
    putWhole(parts.place(slice, i), WordPair{{packed(quad[0], quad[1]), packed(quad[2], quad[3])}});
  }
}

/** The slice from unit k on, of what does not lie in chunks, number by number. */
template <int side, bool alongK>
VWN_DEVICE void loadSlice(const HalfOperand &m, int k, bf16 *slice) {
  if (m.isInChunks) return;
  const Parts<side, alongK, 1> parts(m, k);
  int64_t from = parts.first;
#pragma unroll 4
  for (int i = 0; i < parts.count; i++, from += parts.step) {
    bf16 number{0};
    if (parts.isThere(i))
      number = m.isHalf ? static_cast<const bf16 *>(m.data)[from] : toBf16(static_cast<const float *>(m.data)[from]);
    *parts.place(slice, i) = number;
  }
}

/** A left factor: rows [first, first + 16) of A, units [k, k + 16) of the slice. */
template <int side, bool alongK>
VWN_DEVICE Left leftOfSlice(const bf16 *slice, int first, int k) {
  using Slice = HalfSlice<side, alongK>;
  const int lane = laneOfWarp();
  Left left;
  if constexpr (alongK) loadFour(slice + Slice::at(first + lane % 16, k + lane / 16 * 8), left.words);
  else loadFourTransposed(slice + Slice::at(k + lane / 16 * 8 + lane % 8, first + lane / 8 % 2 * 8), left.words);
  return left;
}

/** Two right factors: units [k, k + 16) of the slice, columns [first, first + 16) of B. */
template <int side, bool alongK>
VWN_DEVICE void rightsOfSlice(const bf16 *slice, int first, int k, Right (&rights)[2]) {
  using Slice = HalfSlice<side, alongK>;
  const int lane = laneOfWarp();
  uint32_t words[4];
  if constexpr (alongK) loadFour(slice + Slice::at(first + lane / 16 * 8 + lane % 8, k + lane / 8 % 2 * 8), words);
  else loadFourTransposed(slice + Slice::at(k + lane % 16, first + lane / 16 * 8), words);
  rights[0] = {words[0], words[1]};
  rights[1] = {words[2], words[3]};
}

}  // namespace cuda
}  // namespace vwn
