/**
 * Products of small matrices of bf16 by the 32 threads of a warp, with sums in float32 (mma.m16n8k16), their operands from
 * shared memory (ldmatrix), and copies there that do not pass through registers (cp.async): compute capability 8.0.
 * Every lane must take part in every call. With g = lane / 4 and t = lane % 4, a lane holds
 *   of a left factor [16, 16]    rows g and g + 8, columns 2t, 2t + 1 and 2t + 8, 2t + 9
 *   of a right factor [16, 8]    rows 2t, 2t + 1 and 2t + 8, 2t + 9, column g
 *   of a sum [16, 8]             rows g (0, 1) and g + 8 (2, 3), columns 2t and 2t + 1
 */
#pragma once
#include "device.h"

namespace vwn {
namespace cuda {

struct Left {
  uint32_t words[4];
};
struct Right {
  uint32_t words[2];
};
/** On 16 bytes, so that a lane shows all of it by one instruction. */
struct alignas(16) Sum {
  float values[4];
};

VWN_DEVICE int laneOfWarp() { return static_cast<int>(threadIdx.x) % warpSize_; }
VWN_DEVICE int warpOfBlock() { return static_cast<int>(threadIdx.x) / warpSize_; }
VWN_DEVICE int warpsOfBlock() { return static_cast<int>(blockDim.x) / warpSize_; }

#if defined(__CUDACC__)

VWN_DEVICE void multiplyAdd(Sum &sum, const Left &a, const Right &b) {
  float *c = sum.values;
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a.words[0]), "r"(a.words[1]), "r"(a.words[2]), "r"(a.words[3]), "r"(b.words[0]), "r"(b.words[1]));
}

VWN_DEVICE unsigned sharedAddress(const void *at) { return static_cast<unsigned>(__cvta_generic_to_shared(at)); }

/** Four matrices [8, 8]; lane i names row i % 8 of matrix i / 8, on 16 bytes. Of each a lane gets row g, columns 2t, 2t + 1. */
VWN_DEVICE void loadFour(const bf16 *row, uint32_t (&words)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(sharedAddress(row))
               : "memory");
}
/** As loadFour, of their transposes: rows 2t, 2t + 1, column g. */
VWN_DEVICE void loadFourTransposed(const bf16 *row, uint32_t (&words)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(sharedAddress(row))
               : "memory");
}

/** 16 (or 8, or 4) bytes from the device's memory to shared memory, or zeros; there after a commitCopies and an awaitCopies. */
template <int bytes = 16>
VWN_DEVICE void copyAsync(void *to, const void *from, bool isThere) {
  if constexpr (bytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(sharedAddress(to)), "l"(from), "r"(isThere ? 16 : 0)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;" ::"r"(sharedAddress(to)), "l"(from), "r"(isThere ? bytes : 0),
                 "n"(bytes)
                 : "memory");
}
VWN_DEVICE void commitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/** Waits for this thread's copies but for the last `pending` groups; other threads see them behind a barrier. */
template <int pending>
VWN_DEVICE void awaitCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

#else

VWN_DEVICE void multiplyAdd(Sum &sum, const Left &a, const Right &b) {
  struct Factors {
    Left a;
    Right b;
  };
  const Factors own{a, b};
  emulation::share(&own, sizeof own);
  const auto of = [](unsigned lane) { return static_cast<const Factors *>(emulation::sharedBy(lane)); };
  const auto half = [](uint32_t word, int upper) { return toFloat(bf16{static_cast<uint16_t>(word >> (16 * upper))}); };
  const unsigned g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  for (unsigned i = 0; i < 4; i++)
    for (unsigned k = 0; k < 16; k++) {
      // Words 0 and 2 hold row g of a left factor, 1 and 3 row g + 8; the later ones columns from 8 on.
      const Factors *left = of(4 * g + k % 8 / 2), *right = of(4 * (2 * t + i % 2) + k % 8 / 2);
      sum.values[i] += half(left->a.words[2 * (k / 8) + i / 2], k % 2) * half(right->b.words[k / 8], k % 2);
    }
}

template <bool transposed>
VWN_DEVICE void loadMatrices(const bf16 *row, uint32_t (&words)[4]) {
  if (reinterpret_cast<uintptr_t>(row) % 16) throw std::runtime_error("ldmatrix needs rows on 16 bytes");
  emulation::showRow(row);
  const unsigned g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  for (unsigned matrix = 0; matrix < 4; matrix++) {
    const auto at = [&](unsigned i, unsigned j) -> uint32_t { return emulation::ofRow(8 * matrix + i, j); };
    words[matrix] = transposed ? at(2 * t, g) | at(2 * t + 1, g) << 16 : at(g, 2 * t) | at(g, 2 * t + 1) << 16;
  }
  // Nobody may write there before all have read; a barrier for other memory this is not.
  emulation::share(&row, sizeof row);
}
VWN_DEVICE void loadFour(const bf16 *row, uint32_t (&words)[4]) { loadMatrices<false>(row, words); }
VWN_DEVICE void loadFourTransposed(const bf16 *row, uint32_t (&words)[4]) { loadMatrices<true>(row, words); }

template <int bytes = 16>
VWN_DEVICE void copyAsync(void *to, const void *from, bool isThere) {
  if ((reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from)) % bytes)
    throw std::runtime_error("cp.async needs both addresses on " + std::to_string(bytes) + " bytes");
  emulation::copyLater(to, isThere ? from : nullptr, bytes);
}
VWN_DEVICE void commitCopies() { emulation::commitCopies(); }
template <int pending>
VWN_DEVICE void awaitCopies() {
  emulation::awaitCopies(pending);
}

#endif

/** Over the four lanes that hold a row between them. */
VWN_DEVICE float sumOverLanes(float x) {
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

/** A left factor from 16 rows of a tile. */
VWN_DEVICE Left leftAt(const bf16 *tile, int stride) {
  Left left;
  loadFour(tile + laneOfWarp() % 16 * stride + laneOfWarp() / 16 * 8, left.words);
  return left;
}
/** A left factor whose columns are 16 rows of a tile: its transpose lies there. */
VWN_DEVICE Left leftAtTransposed(const bf16 *tile, int stride) {
  Left left;
  loadFourTransposed(tile + (laneOfWarp() / 16 * 8 + laneOfWarp() % 8) * stride + laneOfWarp() / 8 % 2 * 8, left.words);
  return left;
}
/** Two right factors whose columns are 16 rows of a tile. */
VWN_DEVICE void rightsOfRows(const bf16 *tile, int stride, Right (&rights)[2]) {
  uint32_t words[4];
  loadFour(tile + (laneOfWarp() / 16 * 8 + laneOfWarp() % 8) * stride + laneOfWarp() / 8 % 2 * 8, words);
  rights[0] = {words[0], words[1]};
  rights[1] = {words[2], words[3]};
}
/** As rightsOfRows, of a tile that has only `rows` rows: in place of the others the first one again, for columns that nobody asks for. */
VWN_DEVICE void rightsOfFirstRows(const bf16 *tile, int stride, int rows, Right (&rights)[2]) {
  uint32_t words[4];
  const int row = laneOfWarp() / 16 * 8 + laneOfWarp() % 8;
  loadFour(tile + (row < rows ? row : 0) * stride + laneOfWarp() / 8 % 2 * 8, words);
  rights[0] = {words[0], words[1]};
  rights[1] = {words[2], words[3]};
}
/** Two right factors of which a tile has 16 rows and 16 columns. */
VWN_DEVICE void rightsAt(const bf16 *tile, int stride, Right (&rights)[2]) {
  uint32_t words[4];
  loadFourTransposed(tile + laneOfWarp() % 16 * stride + laneOfWarp() / 16 * 8, words);
  rights[0] = {words[0], words[1]};
  rights[1] = {words[2], words[3]};
}
/** As rightsAt, of a tile that has only `rows` rows: the others are those of `zeros`, 16 bytes. */
VWN_DEVICE void rightsAtSomeRows(const bf16 *tile, int stride, int rows, const bf16 *zeros, Right (&rights)[2]) {
  uint32_t words[4];
  const int row = laneOfWarp() % 16;
  loadFourTransposed(row < rows ? tile + row * stride + laneOfWarp() / 16 * 8 : zeros, words);
  rights[0] = {words[0], words[1]};
  rights[1] = {words[2], words[3]};
}
/** Columns 0 to 3 of a right factor change places with columns 4 to 7. */
VWN_DEVICE void swapHalves(Right &right) {
#pragma unroll
  for (uint32_t &word : right.words) word = __shfl_xor_sync(0xffffffffu, word, 16);
}

}  // namespace cuda
}  // namespace vwn
