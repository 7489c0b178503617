/** Elementwise functions of one or two tensors; kernels in device/elementwise.cu. */
#include "../runtime.h"
#include "functions.h"
#include "walk.h"

namespace vwn {
namespace VWN_ISA {

/** Buffers: x [size], y [size], each float32 or bf16. Numbers: size. */
const char *convert(const vwn_call *raw) {
  Call call(raw, 2, 1);
  const int64_t size = call.dimension(0);
  void *x = call.reals(0, {size}), *y = call.reals(1, {size});
  if (call.problem()) return call.problem();
  withFloats(x, call.type(0), [&](auto *from) {
    using T = std::remove_pointer_t<decltype(from)>;
    const int toHalves = call.type(1) == VWN_BF16;
    launch(forType("convertTo", call.type(0)), {blocksOfEights(size)}, 256, 0, static_cast<const T *>(from), y, size, toHalves);
  });
  return nullptr;
}

/**
 * Buffers: x, y [size], of one floating type. Numbers: size, operation (0 square, 1 square root, 2 reciprocal square
 * root, 3 exponential, 4 negation, 5 sigmoid, 6 tanh).
 */
const char *unary(const vwn_call *raw) {
  Call call(raw, 2, 2);
  const int64_t size = call.dimension(0), operation = call.integer(1);
  void *x = call.reals(0, {size}), *y = call.reals(1, {size});
  if (call.problem()) return call.problem();
  if (call.type(0) != call.type(1)) return "unary: both buffers must be of one type";
  if (operation < 0 || operation > 6) return "unary: there is no such operation";
  withFloats(y, call.type(1), [&](auto *to) {
    using T = std::remove_pointer_t<decltype(to)>;
    launch(forType("unary", call.type(0)), {blocksOfEights(size)}, 256, 0, static_cast<const T *>(x), to, size,
           static_cast<int>(operation));
  });
  return nullptr;
}

/**
 * Buffers: a, b, y, all of one floating type; y contiguous. Numbers: operation (0 add, 1 subtract, 2 multiply,
 * 3 divide), rank (1 … 8), then for each dimension its size, a's step, b's step; the last steps are 0 or 1.
 */
const char *binary(const vwn_call *raw) {
  Call call(raw, 3, 5);
  Dimensions walk{};
  if (!readWalk(call, 1, 2, walk)) return "binary: 1 to 8 dimensions are needed";
  const int64_t size = sizeOf(walk), operation = call.integer(0);
  void *a = call.reals(0, {call.size(0)}), *b = call.reals(1, {call.size(1)}), *y = call.reals(2, {size});
  if (call.problem()) return call.problem();
  if (size == 0) return nullptr;
  const int last = walk.rank - 1;
  if (walk.first[last] > 1 || walk.second[last] > 1) return "binary: the last dimension must be contiguous or repeated";
  if (!isWithin(walk, walk.first, 0, call.size(0)) || !isWithin(walk, walk.second, 0, call.size(1)))
    return "binary: the broadcast leaves its operand";
  if (call.type(0) != call.type(2) || call.type(1) != call.type(2)) return "binary: all buffers must be of one type";
  if (operation < 0 || operation > 3) return "binary: there is no such operation";
  withFloats(y, call.type(2), [&](auto *to) {
    using T = std::remove_pointer_t<decltype(to)>;
    launch(forType("binary", call.type(2)), {blocksOfEights(size)}, 256, 0, static_cast<const T *>(a),
           static_cast<const T *>(b), to, size, static_cast<int>(operation), walk);
  });
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
