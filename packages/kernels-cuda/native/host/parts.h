/** Sums that blocks have made of parts of the work, added up in the order of the parts. */
#pragma once
#include "../runtime.h"

namespace vwn {
namespace VWN_ISA {

/** to [inner] = Σ_part partial [parts, inner] */
inline void addParts(const float *partial, float *to, int64_t parts, int64_t inner) {
  constexpr int64_t many = 16;
  if (parts >= many) launch("sumManyParts_f32", {blocksFor(inner, 32)}, 256, 256 * 4, partial, to, inner, parts);
  else launch("sumParts_f32", {blocksFor(inner)}, 256, 0, partial, to, int64_t{1}, inner, parts, 1.0f);
}

/** y [outer] = factor · Σ x [outer, count] over each row; `kernel` is sumRows for the type of x. */
template <class T>
void sumRows(const std::string &kernel, const T *x, int64_t outer, int64_t count, float *y, float factor) {
  constexpr int64_t elementsOfPart = 4096;
  const int64_t parts = (count + elementsOfPart - 1) / elementsOfPart, tasks = outer * parts;
  float *partial = static_cast<float *>(scratch(Slot::partial, (tasks + 1) * 4));
  launch(kernel, {tasks < 65536 ? tasks : 65536}, 256, 128, x, partial, outer, count, parts, elementsOfPart);
  const float *sums = partial;
  launch("sumParts_f32", {blocksFor(outer)}, 256, 0, sums, y, outer, int64_t{1}, parts, factor);
}

/** How many parts rows are cut into: enough for every multiprocessor, few enough to add up. */
inline int64_t partsOf(int64_t rows) {
  const int64_t most = 2 * multiprocessors();
  return rows < 1 ? 1 : rows < most ? rows : most;
}

}  // namespace VWN_ISA
}  // namespace vwn
