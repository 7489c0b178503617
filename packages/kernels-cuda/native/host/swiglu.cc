/** SwiGLU; kernels in device/swiglu.cu. */
#include <type_traits>

#include "../runtime.h"
#include "functions.h"
#include "vwn_call.h"

namespace vwn {
namespace VWN_ISA {

/** Buffers: gate, up, y, all [size] of one type. Numbers: size. */
const char *swiglu(const vwn_call *raw) {
  Call call(raw, 3, 1);
  const int64_t size = call.dimension(0);
  void *gate = call.reals(0, {size}), *up = call.reals(1, {size}), *y = call.reals(2, {size});
  call.sameType({0, 1, 2});
  if (call.problem()) return call.problem();
  withFloats(y, call.type(2), [&](auto *out) {
    using T = std::remove_pointer_t<decltype(out)>;
    launch(forType("swiglu", call.type(2)), {blocksOfEights(size)}, 256, 0, static_cast<const T *>(gate),
           static_cast<const T *>(up), out, size);
  });
  return nullptr;
}

/** Buffers: gate, up, dy, dGate, dUp, all [size] of one type. Numbers: size. */
const char *swiglu_grad(const vwn_call *raw) {
  Call call(raw, 5, 1);
  const int64_t size = call.dimension(0);
  void *p[5];
  for (int i = 0; i < 5; i++) p[i] = call.reals(i, {size});
  call.sameType({0, 1, 2, 3, 4});
  if (call.problem()) return call.problem();
  withFloats(p[3], call.type(3), [&](auto *dGate) {
    using T = std::remove_pointer_t<decltype(dGate)>;
    launch(forType("swigluGrad", call.type(3)), {blocksOfEights(size)}, 256, 0, static_cast<const T *>(p[0]),
           static_cast<const T *>(p[1]), static_cast<const T *>(p[2]), dGate, static_cast<T *>(p[4]), size);
  });
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
