/**
 * How states and backbones of a connection step by tensor cores come into shared memory and leave it, in chunks of 16 bytes: rows of db
 * in the device's memory, and there of a stride.
 */
#pragma once
#include "connection-tile-shape.h"
#include "eights.h"
#include "warp-matrix.h"

namespace vwn {
namespace cuda {

/** Which token's a row is, of tokens with `ofToken` rows each, 16, 32 or 64: a shift. */
VWN_DEVICE int tokenOf(int row, int ofToken) { return row >> (4 + (ofToken > 16) + (ofToken > 32)); }

/**
 * Whole quotients of numbers below 2^20 without a division: half a number on, what is multiplied is so far from the next whole number
 * that rounding does not reach it.
 */
struct Divisor {
  int by;
  float inverse;

  VWN_DEVICE explicit Divisor(int64_t by_) : by(static_cast<int>(by_)), inverse(1.0f / static_cast<float>(by)) {}
  VWN_DEVICE int quotient(int number) const { return static_cast<int>((static_cast<float>(number) + 0.5f) * inverse); }
};

/** Asks for `rows` rows of db, of which `present` are there; zeros are the rest. */
VWN_DEVICE void copyRows(const Divisor &chunks, const bf16 *from, int rows, int present, int stride, bf16 *to) {
  const int there = present * chunks.by, padding = stride - chunks.by * ofChunk;
  for (int at = static_cast<int>(threadIdx.x); at < rows * chunks.by; at += static_cast<int>(blockDim.x))
    copyAsync(to + at * ofChunk + chunks.quotient(at) * padding, at < there ? from + at * ofChunk : from, at < there);
}

/** Asks for the slots of `tokens` tokens, of which `present` are there; zeros are the rest of their rows. */
VWN_DEVICE void copySlots(const Divisor &chunks, int n, const bf16 *from, int ofToken, int tokens, int present, int stride, bf16 *to) {
  const int padding = stride - chunks.by * ofChunk;
  for (int at = static_cast<int>(threadIdx.x); at < tokens * ofToken * chunks.by; at += static_cast<int>(blockDim.x)) {
    const int row = chunks.quotient(at), token = tokenOf(row, ofToken), behind = token * (ofToken - n);
    const bool isThere = row - token * ofToken < n && token < present;
    copyAsync(to + at * ofChunk + row * padding, isThere ? from + (at - behind * chunks.by) * ofChunk : from, isThere);
  }
}

/** To the device's memory by one instruction, which nvcc does not always make of putWhole. */
VWN_DEVICE void storeChunk(bf16 *to, const Chunk &chunk) {
#if defined(__CUDACC__)
  asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(chunk.words[0]), "r"(chunk.words[1]), "r"(chunk.words[2]),
               "r"(chunk.words[3])
               : "memory");
#else
  putWhole(to, chunk);
#endif
}
VWN_DEVICE void storeRows(const Divisor &chunks, const bf16 *from, int rows, int stride, bf16 *to) {
  const int padding = stride - chunks.by * ofChunk;
  for (int at = static_cast<int>(threadIdx.x); at < rows * chunks.by; at += static_cast<int>(blockDim.x))
    storeChunk(to + at * ofChunk, wholeAt<Chunk>(from + at * ofChunk + chunks.quotient(at) * padding));
}
/** Of `tokens` tokens the slots, and not what stands behind them. */
VWN_DEVICE void storeSlots(const Divisor &chunks, int n, const bf16 *from, int ofToken, int tokens, int stride, bf16 *to) {
  const int padding = stride - chunks.by * ofChunk;
  for (int at = static_cast<int>(threadIdx.x); at < tokens * ofToken * chunks.by; at += static_cast<int>(blockDim.x)) {
    const int row = chunks.quotient(at), token = tokenOf(row, ofToken), behind = token * (ofToken - n);
    if (row - token * ofToken >= n) continue;
    storeChunk(to + (at - behind * chunks.by) * ofChunk, wholeAt<Chunk>(from + at * ofChunk + row * padding));
  }
}

/**
 * Moves states whose rows divide a block, while tokens have as many slots as rows: they lie in the device's memory as they do in shared
 * memory but for the padding of rows, and a thread's chunks are below each other, so that the next one is two sums away.
 */
struct WholeStates {
  int chunks, threads, place, rowsOn; /* chunks of a row; elements of shared memory: of a thread's first chunk, and from one to the next */

  VWN_DEVICE WholeStates(const Divisor &ofRow, int stride, int threads_) : chunks(ofRow.by), threads(threads_) {
    const int thread = static_cast<int>(threadIdx.x);
    place = thread * ofChunk + ofRow.quotient(thread) * (stride - chunks * ofChunk);
    rowsOn = threads / chunks * stride;
  }
  VWN_DEVICE static bool are(const ConnectionShape &s, int ofToken, int threads) {
    return s.n == ofToken && threads % static_cast<int>(s.db / ofChunk) == 0;
  }
  /** Asks for `rows` rows of db, of which `present` are there; zeros are the rest. */
  VWN_DEVICE void copy(const bf16 *from, int rows, int present, bf16 *to) const {
    const int there = present * chunks;
    each(rows * chunks,
         [&](int chunk, int at) { copyAsync(to + at, from + (chunk < there ? chunk * ofChunk : 0), chunk < there); });
  }
  VWN_DEVICE void store(const bf16 *from, int rows, bf16 *to) const {
    each(rows * chunks, [&](int chunk, int at) { storeChunk(to + chunk * ofChunk, wholeAt<Chunk>(from + at)); });
  }

 private:
  /** body(chunk of the device's memory, element of shared memory) for this thread's among so many chunks. */
  template <class Body>
  VWN_DEVICE void each(int count, const Body &body) const {
#pragma unroll 4
    for (int chunk = static_cast<int>(threadIdx.x), at = place; chunk < count; chunk += threads, at += rowsOn)
      body(chunk, at);
  }
};

/** Moves states of tokens that have `ofToken` rows each in shared memory, in the way that their shape allows. */
struct StateMoves {
  Divisor chunks;
  WholeStates whole;
  int n, ofToken, stride;
  bool areWhole;

  VWN_DEVICE StateMoves(const ConnectionShape &s, int ofToken_, int stride_, int threads)
      : chunks(s.db / ofChunk), whole(chunks, stride_, threads), n(static_cast<int>(s.n)), ofToken(ofToken_), stride(stride_),
        areWhole(WholeStates::are(s, ofToken_, threads)) {}

  /** Asks for `tokens` tokens, of which `present` are there. */
  VWN_DEVICE void copy(const bf16 *from, int tokens, int present, bf16 *to) const {
    if (areWhole) whole.copy(from, tokens * ofToken, present * ofToken, to);
    else copySlots(chunks, n, from, ofToken, tokens, present, stride, to);
  }
  VWN_DEVICE void store(const bf16 *from, int tokens, bf16 *to) const {
    if (areWhole) whole.store(from, tokens * ofToken, to);
    else storeSlots(chunks, n, from, ofToken, tokens, stride, to);
  }
};

}  // namespace cuda
}  // namespace vwn
