/** Setting all elements; kernels in device/fill.cu. */
#include "../runtime.h"
#include "functions.h"
#include "vwn_call.h"

namespace vwn {
namespace VWN_ISA {

/** Buffers: y [size]. Numbers: size, value. */
const char *fill(const vwn_call *raw) {
  Call call(raw, 1, 2);
  const int64_t size = call.dimension(0);
  void *y = call.reals(0, {size});
  if (call.problem()) return call.problem();
  withFloats(y, call.type(0), [&](auto *to) {
    launch(forType("fill", call.type(0)), {blocksFor(size)}, 256, 0, to, size, call.real(1));
  });
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
