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
#include "eights.h"
#include "half-shape.h"
#include "product.h"
#include "warp-matrix.h"

namespace vwn {
namespace cuda {

struct alignas(8) WordPair {
  uint32_t words[2];
};

/** How a slice lies in shared memory. */
template <int side, bool alongK>
struct HalfSlice {
  static constexpr int rows = alongK ? side : halfDepth, columns = alongK ? halfDepth : side;

  /** Bits of a column's number that change in a row. */
  VWN_DEVICE static int swap(int row) { return (alongK ? row / 2 % 4 : row % 8) * 8; }
  VWN_DEVICE static int at(int row, int column) { return row * columns + (column ^ swap(row)); }
};

/** A thread's parts of a slice, `width` numbers each: how many, and how many rows from one to the next. */
template <int side, bool alongK, int width>
struct Parts {
  using Slice = HalfSlice<side, alongK>;
  static constexpr int apart = halfThreads * width / Slice::columns, count = Slice::rows / apart;

  /** Where part `i` is, from where the first one is: of its row's bits, no other one changes. */
  VWN_DEVICE static int at(int first, int i) { return (first + i * apart * Slice::columns) ^ Slice::swap(i * apart); }
};

/**
 * What a tile takes of a matrix, slice by slice, as one thread sees it: its parts of a slice are some neighbours in each of
 * several rows (as they lie in memory), which are equally far apart.
 */
template <int side, bool alongK>
struct HalfOperand {
  const char *from;          /* its first part of the next slice, which may lie beyond the matrix */
  int64_t step;              /* bytes from one part to the next */
  int rowsLeft, columnsLeft; /* in the matrix, from its first part of the first slice on */
  int place;                 /* of its first part in a slice */
  bool isHalf, isInChunks;   /* bf16; rows begin and end on 16 bytes */

  /** Rows [first, …) of A, or columns of B, of which there are `size`. */
  VWN_DEVICE HalfOperand(const Matrix &m, int64_t batch, int first, int size, int K) {
    using Slice = HalfSlice<side, alongK>;
    const int64_t bytes = m.type == VWN_BF16 ? 2 : 4;
    const char *data = static_cast<const char *>(m.data) + batch * m.stride * bytes;
    const uint64_t bits = reinterpret_cast<uintptr_t>(data) | static_cast<uint64_t>((m.ld | (alongK ? K : size)) * bytes);
    isHalf = m.type == VWN_BF16, isInChunks = bits % 16 == 0;
    const int width = isInChunks ? static_cast<int>(16 / bytes) : 1, at = static_cast<int>(threadIdx.x) * width;
    const int inSlice = at / Slice::columns, across = at % Slice::columns;
    const int row = inSlice + (alongK ? first : 0), column = across + (alongK ? 0 : first);
    from = data + (row * m.ld + column) * bytes, step = halfThreads * width / Slice::columns * m.ld * bytes;
    rowsLeft = (alongK ? size : K) - row, columnsLeft = (alongK ? K : size) - column;
    place = Slice::at(inSlice, across);
  }
};

/** body(i, place, from, isThere) for this thread's parts of the slice from unit k on; goes on to the next slice. */
template <int width, int side, bool alongK, class Body>
VWN_DEVICE void eachPart(HalfOperand<side, alongK> &m, int k, const Body &body) {
  using All = Parts<side, alongK, width>;
  const char *from = m.from;
#pragma unroll(width > 1 ? All::count : 4)
  for (int i = 0; i < All::count; i++, from += m.step) {
    const int row = i * All::apart;
    const bool isThere = alongK ? row < m.rowsLeft && k < m.columnsLeft : row + k < m.rowsLeft && m.columnsLeft > 0;
    body(i, All::at(m.place, i), from, isThere);
  }
  m.from = alongK ? m.from + halfDepth * (m.isHalf ? 2 : 4) : from;
}

/** Asks for the slice from unit k on; zeros beyond the matrix. Only of bf16 in chunks: else nothing. */
template <int side, bool alongK>
VWN_DEVICE void askForSlice(HalfOperand<side, alongK> &m, int k, bf16 *slice) {
  if (!m.isHalf || !m.isInChunks) return;
  eachPart<8>(m, k, [&](int, int place, const char *from, bool isThere) { copyAsync(slice + place, from, isThere); });
}

/** A thread's part of a slice of float32 on its way through registers. */
template <int side>
struct HeldSlice {
  Chunk chunks[side * halfDepth / halfThreads / 4];
};

/** Loads the slice from unit k on; zeros beyond the matrix. Only of float32 in chunks. */
template <int side, bool alongK>
VWN_DEVICE void holdSlice(HalfOperand<side, alongK> &m, int k, HeldSlice<side> &held) {
  if (m.isHalf || !m.isInChunks) return;
  eachPart<4>(m, k, [&](int i, int, const char *from, bool isThere) {
    held.chunks[i] = isThere ? wholeAt<Chunk>(from) : Chunk{};
  });
}

/** What holdSlice has loaded, rounded to bf16, into the slice. */
template <int side, bool alongK>
VWN_DEVICE void putSlice(const HalfOperand<side, alongK> &m, const HeldSlice<side> &held, bf16 *slice) {
  if (m.isHalf || !m.isInChunks) return;
  using All = Parts<side, alongK, 4>;
#pragma unroll
  for (int i = 0; i < All::count; i++) {
    const uint32_t *four = held.chunks[i].words;
    const WordPair halves{{packed(asFloat(four[0]), asFloat(four[1])), packed(asFloat(four[2]), asFloat(four[3]))}};
    putWhole(slice + All::at(m.place, i), halves);
  }
}

/** The slice from unit k on, of what does not lie in chunks, number by number. */
template <int side, bool alongK>
VWN_DEVICE void loadSlice(HalfOperand<side, alongK> &m, int k, bf16 *slice) {
  if (m.isInChunks) return;
  eachPart<1>(m, k, [&](int, int place, const char *from, bool isThere) {
    bf16 number{0};
    if (isThere) number = m.isHalf ? wholeAt<bf16>(from) : toBf16(wholeAt<float>(from));
    slice[place] = number;
  });
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
