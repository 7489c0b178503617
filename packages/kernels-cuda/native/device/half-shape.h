/** How products by tensor cores divide their work, for kernels and for the host code that launches them. */
#pragma once
#include <cstdint>

namespace vwn {
namespace cuda {

/** A block's threads, in 2 × 2 warps; units of K in a slice; slices in shared memory, of which all but one are on their way. */
constexpr int halfThreads = 128, halfDepth = 32, halfStages = 3;
/** Rows and columns of a tile: the large one asks less of memory, the small one leaves less of it empty. */
constexpr int largeHalfSide = 128, smallHalfSide = 64;

template <int side_>
struct HalfShape {
  static constexpr int side = side_;
  /** Blocks that a multiprocessor holds at once, by their registers. */
  static constexpr int blocks = side == largeHalfSide ? 2 : 4;
  /** Shared memory for slices of both operands, in numbers of bf16 and in bytes. */
  static constexpr int numbers = halfStages * 2 * side * halfDepth, bytes = 2 * numbers;
};

}  // namespace cuda
}  // namespace vwn
