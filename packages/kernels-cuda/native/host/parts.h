/** Sums that blocks have made of parts of the work, added up in the order of the parts. */
#pragma once
#include "../runtime.h"

namespace vwn {
namespace VWN_ISA {

/** to [inner] = Σ_part partial [parts, inner] */
inline void addParts(const float *partial, float *to, int64_t parts, int64_t inner) {
  launch("sumParts_f32", {blocksFor(inner)}, 256, 0, partial, to, int64_t{1}, inner, parts, 1.0f);
}

/** How many parts rows are cut into: enough for every multiprocessor, few enough to add up. */
inline int64_t partsOf(int64_t rows) {
  const int64_t most = 2 * multiprocessors();
  return rows < 1 ? 1 : rows < most ? rows : most;
}

}  // namespace VWN_ISA
}  // namespace vwn
