/** Sums along neighbouring dimensions; kernels in device/sum.cu. */
#include <type_traits>

#include "../runtime.h"
#include "functions.h"
#include "vwn_call.h"

namespace vwn {
namespace VWN_ISA {
namespace {

constexpr int64_t elementsOfPart = 4096;

}  // namespace

/** Buffers: x [outer·count·inner] floating, y float32 [outer·inner]. Numbers: outer, count, inner, factor. */
const char *sum_axis(const vwn_call *raw) {
  Call call(raw, 2, 4);
  const int64_t outer = call.dimension(0), count = call.dimension(1), inner = call.dimension(2);
  void *x = call.reals(0, {outer, count, inner});
  float *y = call.floats(1, {outer, inner});
  if (call.problem()) return call.problem();
  if (outer * inner == 0) return nullptr;
  // Columns need more parts than rows do: a part is one thread's work there, a block's here.
  const int64_t partSize = inner == 1 ? elementsOfPart : 64, parts = (count + partSize - 1) / partSize;
  const int64_t tasks = outer * parts * inner;
  float *partial = static_cast<float *>(scratch(Slot::partial, (tasks + 1) * 4));
  withFloats(x, call.type(0), [&](auto *in) {
    using T = std::remove_pointer_t<decltype(in)>;
    const T *from = in;
    if (inner == 1)
      launch(forType("sumRows", call.type(0)), {tasks < 65536 ? tasks : 65536}, 256, 128, from, partial, outer, count,
             parts, partSize);
    else
      launch(forType("sumColumns", call.type(0)), {blocksFor(tasks)}, 256, 0, from, partial, outer, count, inner, parts,
             partSize);
  });
  const float *sums = partial;
  launch("sumParts_f32", {blocksFor(outer * inner)}, 256, 0, sums, y, outer, inner, parts, call.real(3));
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
