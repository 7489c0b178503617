/** Elementwise functions of one tensor. */
#include "call.h"
#include "kernels.h"
#include "rows.h"

namespace vwn {
namespace VWN_ISA {
namespace {

template <class T, class Op>
const char *map(int64_t size, const T *x, T *y, const Op &op) {
  parallelRange(size, 16384, [&](int64_t begin, int64_t end) {
    eachVector(
        end - begin, [&](int64_t i) { store(y + begin + i, op(load(x + begin + i))); },
        [&](int64_t i, int64_t n) { storeFirst(y + begin + i, op(loadFirst(x + begin + i, n)), n); });
  });
  return nullptr;
}

}  // namespace

/**
 * Buffers: x, y [size], of one floating type. Numbers: size, operation (0 square, 1 square root, 2 reciprocal square
 * root, 3 exponential, 4 negation, 5 sigmoid, 6 tanh).
 */
const char *unary(const vwn_call *raw) {
  Call call(raw, 2, 2);
  const int64_t size = call.dimension(0);
  void *x = call.any(0, size), *y = call.any(1, size);
  if (call.problem()) return call.problem();
  if (call.type(0) != call.type(1)) return "unary: both buffers must be of one type";
  return withFloats(y, call.type(1), [&](auto *out) {
    using T = std::remove_pointer_t<decltype(out)>;
    const T *in = static_cast<const T *>(x);
    switch (call.integer(1)) {
      case 0: return map(size, in, out, [](vf v) { return v * v; });
      case 1: return map(size, in, out, [](vf v) { return vsqrt(v); });
      case 2: return map(size, in, out, [](vf v) { return 1.0f / vsqrt(v); });
      case 3: return map(size, in, out, [](vf v) { return vexp(v); });
      case 4: return map(size, in, out, [](vf v) { return -v; });
      case 5: return map(size, in, out, [](vf v) { return vsigmoid(v); });
      case 6: return map(size, in, out, [](vf v) { return vtanh(v); });
    }
    return "unary: there is no such operation";
  });
}

}  // namespace VWN_ISA
}  // namespace vwn
