/** How rows of a tensor are shared out among threads. */
#pragma once
#include "../threads.h"
#include "simd.h"

namespace vwn {
namespace VWN_ISA {

struct Range {
  int64_t begin, end;
};

/** Part `index` of `parts` of [0, size): parts differ by one at most. */
VWN_INLINE Range part(int64_t size, int64_t parts, int64_t index) {
  return {size * index / parts, size * (index + 1) / parts};
}

/** body(begin, end) on parts of [0, size), each of at least `least`. For work without sums between parts. */
template <class Body>
void parallelRange(int64_t size, int64_t least, const Body &body) {
  const int64_t most = 4 * static_cast<int64_t>(threadCount());
  int64_t parts = size / (least < 1 ? 1 : least);
  parts = parts < 1 ? 1 : parts > most ? most : parts;
  parallelFor(parts, [&](int64_t index, int) {
    const Range range = part(size, parts, index);
    body(range.begin, range.end);
  });
}

/** Rows that are worth a task of their own when a row has `width` elements. */
VWN_INLINE int64_t leastRows(int64_t width) { return width >= 8192 ? 1 : 8192 / (width < 1 ? 1 : width); }

}  // namespace VWN_ISA
}  // namespace vwn
