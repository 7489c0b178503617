/** Reading and checking the dimensions of a call, for kernels that walk over strided operands. */
#pragma once
#include <type_traits>

#include "../device/dimensions.h"
#include "vwn_call.h"

namespace vwn {
namespace VWN_ISA {

/**
 * The rank at number `rankAt`, and from `at` on each dimension's size and two steps, of either sign. False where the
 * rank is not 1 to 8, or numbers are missing.
 */
inline bool readWalk(Call &call, int rankAt, int at, Dimensions &walk) {
  const int64_t rank = call.integer(rankAt);
  if (rank < 1 || rank > maximumRank || call.numbers() < at + 3 * rank) return false;
  walk.rank = static_cast<int>(rank);
  for (int d = 0; d < walk.rank; d++) {
    walk.sizes[d] = call.dimension(at + 3 * d);
    walk.first[d] = call.integer(at + 3 * d + 1);
    walk.second[d] = call.integer(at + 3 * d + 2);
  }
  return true;
}

/** How many elements are walked over; −1 where no number holds it. */
inline int64_t sizeOf(const Dimensions &walk) {
  int64_t size = 1;
  for (int d = 0; d < walk.rank; d++) size = Call::product({size, walk.sizes[d]});
  return size;
}

/** Whether all that `steps` reach from `offset` lies in an operand of `size` elements; no dimension may be 0. */
inline bool isWithin(const Dimensions &walk, const int64_t *steps, int64_t offset, int64_t size) {
  int64_t least = offset, most = offset;
  for (int d = 0; d < walk.rank; d++) {
    int64_t span, &end = steps[d] < 0 ? least : most;
    if (__builtin_mul_overflow(walk.sizes[d] - 1, steps[d], &span) || __builtin_add_overflow(end, span, &end)) return false;
  }
  return least >= 0 && most < size;
}

}  // namespace VWN_ISA
}  // namespace vwn
