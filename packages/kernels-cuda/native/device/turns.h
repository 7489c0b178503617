/**
 * Blocks that add to the same sums in device memory in a fixed order, and so to the same bits each time: each waits for its turn, and
 * passes the turn on when it has added. A block waits only for blocks that stand before it in a grid of one dimension: a GPU begins
 * blocks in that order (as the scans of CUB rely on), and so whoever is waited for runs or is done.
 *
 * What a warp's threads read or add behind awaitTurn comes after whatever was written before that turn was passed. A turn is passed
 * behind a barrier of the block, which all who have added have come to.
 */
#pragma once
#include "warp-matrix.h"

namespace vwn {
namespace cuda {

/** So often a turn is asked for, which takes seconds: then something is broken, and a problem is told rather than a GPU held. */
constexpr int mostTurnsAsked = 1 << 24;

VWN_DEVICE Sum sumOf(const Sum &a, const Sum &b) {
  Sum sum;
#pragma unroll
  for (int i = 0; i < 4; i++) sum.values[i] = a.values[i] + b.values[i];
  return sum;
}

#if defined(__CUDACC__)

VWN_DEVICE uint32_t turnsPassed(const uint32_t *turns) {
  uint32_t passed;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(passed) : "l"(turns) : "memory");
  return passed;
}
/** By one thread. */
VWN_DEVICE void passTurn(uint32_t *turns, uint32_t passed) {
  asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(turns), "r"(passed) : "memory");
}

/** Four sums, on 16 bytes; this thread waits for nothing. Compute capability 9.0. */
VWN_DEVICE void addInTurn(float *to, const Sum &sum) {
  asm volatile("red.relaxed.gpu.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to), "f"(sum.values[0]), "f"(sum.values[1]),
               "f"(sum.values[2]), "f"(sum.values[3])
               : "memory");
}
VWN_DEVICE void putInTurn(float *to, const Sum &sum) {
  asm volatile("st.relaxed.gpu.global.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to), "f"(sum.values[0]), "f"(sum.values[1]),
               "f"(sum.values[2]), "f"(sum.values[3])
               : "memory");
}
VWN_DEVICE Sum takeInTurn(const float *from) {
  Sum sum;
  asm volatile("ld.relaxed.gpu.global.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(sum.values[0]), "=f"(sum.values[1]), "=f"(sum.values[2]), "=f"(sum.values[3])
               : "l"(from)
               : "memory");
  return sum;
}

#else

// Volatile: a watched build does not take it for a race when another block's are read.
VWN_DEVICE uint32_t turnsPassed(const uint32_t *turns) { return *static_cast<const volatile uint32_t *>(turns); }
VWN_DEVICE void passTurn(uint32_t *turns, uint32_t passed) { *static_cast<volatile uint32_t *>(turns) = passed; }

VWN_DEVICE void putInTurn(float *to, const Sum &sum) {
  for (int i = 0; i < 4; i++) static_cast<volatile float *>(to)[i] = sum.values[i];
}
VWN_DEVICE Sum takeInTurn(const float *from) {
  Sum sum;
  for (int i = 0; i < 4; i++) sum.values[i] = static_cast<const volatile float *>(from)[i];
  return sum;
}
VWN_DEVICE void addInTurn(float *to, const Sum &sum) {
  putInTurn(to, sumOf(takeInTurn(to), sum));
}

#endif

/**
 * Whether `before` blocks have passed their turns, asked for the `asked`-th time. Also true once any wait of the launch has lasted too
 * long, and told so: the others need not last as long.
 */
VWN_DEVICE bool isTurn(const uint32_t *turns, uint32_t before, int asked, int32_t *problem) {
  if (turnsPassed(turns) >= before) return true;
  if (asked == mostTurnsAsked) tell(problem);
  return asked % 1024 == 0 && *static_cast<const volatile int32_t *>(problem) != 0;
}

/** Waits, by a whole warp, until `before` blocks have passed their turns. */
VWN_DEVICE void awaitTurn(const uint32_t *turns, uint32_t before, int32_t *problem) {
#if !defined(__CUDACC__)
  if (turnsPassed(turns) != before) throw std::runtime_error("a block waits for the turn of one that was not begun before it");
#endif
  if (laneOfWarp() == 0)
    for (int asked = 1; !isTurn(turns, before, asked, problem); asked++) continue;
  __syncwarp();
}

}  // namespace cuda
}  // namespace vwn
