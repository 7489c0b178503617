/** Rotary position embedding; kernels in device/rotary.cu. */
#include <cmath>
#include <type_traits>

#include "../runtime.h"
#include "functions.h"
#include "vwn_call.h"

namespace vwn {
namespace VWN_ISA {

/** Buffers: x, y, both [B·T·H·d] of one type. Numbers: B, T, H, d, theta, offset, inverse. */
const char *rotary_embedding(const vwn_call *raw) {
  Call call(raw, 2, 7);
  const int64_t B = call.dimension(0), length = call.dimension(1), heads = call.dimension(2), d = call.dimension(3);
  void *x = call.reals(0, {B, length, heads, d}), *y = call.reals(1, {B, length, heads, d});
  call.sameType({0, 1});
  if (call.problem()) return call.problem();
  if (d % 2) return "the head width must be even";
  const int64_t half = d / 2, pairs = B * length * heads * half;
  float *table = static_cast<float *>(scratch(Slot::rows, (length * half + 1) * 8));
  launch("rotaryTable_f32", {blocksFor(length * half)}, 256, 0, table, length, half, std::log(call.exact(4)),
         call.integer(5));
  withFloats(y, call.type(1), [&](auto *out) {
    using T = std::remove_pointer_t<decltype(out)>;
    const float *angles = table;
    launch(forType("rotary", call.type(1)), {blocksOfEights(pairs)}, 256, 0, static_cast<const T *>(x), out, angles, pairs,
           length, heads, half, call.integer(6) ? -1.0f : 1.0f);
  });
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
