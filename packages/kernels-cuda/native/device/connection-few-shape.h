/** How a connection step with few slots divides its work; the host chooses a kernel by it. */
#pragma once
#include "connection-shape.h"

namespace vwn {
namespace cuda {

/** Threads of a block at most, which have a token's columns of db among them. */
constexpr int fewThreads = 256;

/**
 * The (m, n) that kernels are compiled for, hyper-connections and r = 1.5 and 2, and how many columns a thread has. Adding up
 * over a block costs each thread the same however many it has, so there are as many as its registers hold gradients of W for.
 */
#define VWN_EACH_FEW(kernel) kernel(1, 2, 8) kernel(1, 4, 8) kernel(2, 3, 8) kernel(2, 4, 4)

/** Columns of a thread, 0 for shapes that are not compiled. */
inline int64_t fewColumns(const ConnectionShape &s) {
#define VWN_COLUMNS_IF(m_, n_, columns) \
  if (s.m == m_ && s.n == n_) return columns;
  VWN_EACH_FEW(VWN_COLUMNS_IF)
#undef VWN_COLUMNS_IF
  return 0;
}
inline bool takesFew(const ConnectionShape &s) {
  const int64_t columns = fewColumns(s);
  return s.dynamic && columns > 0 && s.db % columns == 0 && s.db <= columns * fewThreads;
}

/** Floats of shared memory for a block's sums, two rooms of one for each thread; and for what lanes show, six such rooms. */
constexpr int64_t roomOfFewSums = 2 * fewThreads, roomOfShown = 6 * fewThreads;
/** Bytes of shared memory: W of both sets, [columns, db], and these. */
inline int64_t bytesOfFew(const ConnectionShape &s) {
  return 4 * ((writeColumns(s) + s.m) * s.db + roomOfFewSums + roomOfShown);
}

/** Threads of a block: whole warps that have all columns. */
inline int threadsOfFew(const ConnectionShape &s) {
  return static_cast<int>((s.db / fewColumns(s) + 31) / 32 * 32);
}

/** The same of the backward pass, with room for the next token's states and dx. */
inline int64_t bytesOfFewGrad(const ConnectionShape &s) {
  return bytesOfFew(s) + 2 * (2 * s.n + s.m) * threadsOfFew(s) * fewColumns(s);
}

}  // namespace cuda
}  // namespace vwn
