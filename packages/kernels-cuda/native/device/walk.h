/** Walking over the elements of strided operands. */
#pragma once
#include "device.h"
#include "dimensions.h"

namespace vwn {
namespace cuda {

struct Divided {
  int64_t quotient, remainder;
};
/** Of what is not negative. A GPU has no division of 64 bits: it takes some hundred instructions, of 32 bits a fifth. */
VWN_DEVICE Divided divided(int64_t x, int64_t by) {
  if ((x | by) >> 32) return {x / by, x % by};
  const uint32_t quotient = static_cast<uint32_t>(x) / static_cast<uint32_t>(by);
  return {quotient, static_cast<uint32_t>(x) - quotient * static_cast<uint32_t>(by)};
}

/** Where both operands stand at step `index` of the walk, whose last dimension is the innermost. */
VWN_DEVICE Offsets offsetsAt(const Dimensions &walk, int64_t index) {
  Offsets at{0, 0};
  for (int d = walk.rank - 1; d > 0; d--) {
    const Divided step = divided(index, walk.sizes[d]);
    index = step.quotient;
    at.first += step.remainder * walk.first[d];
    at.second += step.remainder * walk.second[d];
  }
  return {at.first + index * walk.first[0], at.second + index * walk.second[0]};
}

}  // namespace cuda
}  // namespace vwn
