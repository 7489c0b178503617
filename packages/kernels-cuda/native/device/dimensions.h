/** A walk over elements that two operands take with steps of their own; an argument of kernels, and made by host code. */
#pragma once
#include <cstdint>

namespace vwn {
namespace cuda {

constexpr int maximumRank = 8;

struct Dimensions {
  int rank;
  int64_t sizes[maximumRank], first[maximumRank], second[maximumRank]; /* steps of either operand, in elements */
};

/** In elements, from the beginning of either operand. */
struct Offsets {
  int64_t first, second;
};

}  // namespace cuda
}  // namespace vwn
