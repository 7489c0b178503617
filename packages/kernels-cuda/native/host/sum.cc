/** Sums along neighbouring dimensions; kernels in device/sum.cu. */
#include <type_traits>

#include "functions.h"
#include "parts.h"
#include "vwn_call.h"

namespace vwn {
namespace VWN_ISA {
/** Buffers: x [outer·count·inner] floating, y float32 [outer·inner]. Numbers: outer, count, inner, factor. */
const char *sum_axis(const vwn_call *raw) {
  Call call(raw, 2, 4);
  const int64_t outer = call.dimension(0), count = call.dimension(1), inner = call.dimension(2);
  void *x = call.reals(0, {outer, count, inner});
  float *y = call.floats(1, {outer, inner});
  if (call.problem()) return call.problem();
  if (outer * inner == 0) return nullptr;
  withFloats(x, call.type(0), [&](auto *in) {
    using T = std::remove_pointer_t<decltype(in)>;
    const T *from = in;
    if (inner == 1) return sumRows(forType("sumRows", call.type(0)), from, outer, count, y, call.real(3));
    // Columns need more parts than rows do: a part is one thread's work here, a block's there.
    constexpr int64_t rowsOfPart = 64;
    const int64_t parts = (count + rowsOfPart - 1) / rowsOfPart, tasks = outer * parts * inner;
    float *partial = static_cast<float *>(scratch(Slot::partial, (tasks + 1) * 4));
    launch(forType("sumColumns", call.type(0)), {blocksFor(tasks)}, 256, 0, from, partial, outer, count, inner, parts,
           rowsOfPart);
    const float *sums = partial;
    launch("sumParts_f32", {blocksFor(outer * inner)}, 256, 0, sums, y, outer, inner, parts, call.real(3));
  });
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
