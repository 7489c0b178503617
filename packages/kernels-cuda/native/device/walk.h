/** Walking over the elements of strided operands. */
#pragma once
#include "device.h"
#include "dimensions.h"

namespace vwn {
namespace cuda {

/** Where both operands stand at step `index` of the walk, whose last dimension is the innermost. */
VWN_DEVICE Offsets offsetsAt(const Dimensions &walk, int64_t index) {
  Offsets at{0, 0};
  for (int d = walk.rank - 1; d > 0; d--) {
    const int64_t i = index % walk.sizes[d];
    index /= walk.sizes[d];
    at.first += i * walk.first[d];
    at.second += i * walk.second[d];
  }
  return {at.first + index * walk.first[0], at.second + index * walk.second[0]};
}

}  // namespace cuda
}  // namespace vwn
