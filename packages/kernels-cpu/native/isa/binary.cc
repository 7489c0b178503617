/** Elementwise arithmetic of two tensors, either repeated along leading dimensions. */
#include "call.h"
#include "kernels.h"
#include "rows.h"

namespace vwn {
namespace VWN_ISA {
namespace {

constexpr int64_t leastElements = 16384;

/** y[i] = op(a[i], b[i]) on `size` elements; a stride of 0 repeats one element. */
template <class T, class Op>
VWN_INLINE void row(int64_t size, const T *a, bool oneA, const T *b, bool oneB, T *y, const Op &op) {
  const vf firstA = splat(toFloat(*a)), firstB = splat(toFloat(*b));
  eachVector(
      size, [&](int64_t i) { store(y + i, op(oneA ? firstA : load(a + i), oneB ? firstB : load(b + i))); },
      [&](int64_t i, int64_t n) {
        storeFirst(y + i, op(oneA ? firstA : loadFirst(a + i, n), oneB ? firstB : loadFirst(b + i, n)), n);
      });
}

template <class T, class Op>
const char *arithmetic(int64_t size, const T *a, int64_t periodA, const T *b, int64_t periodB, T *y, const Op &op) {
  const bool oneA = periodA == 1, oneB = periodB == 1;
  const int64_t shorter = periodA < periodB ? periodA : periodB;
  const int64_t inner = oneA || oneB || shorter == size ? size : shorter;
  if (inner == size) {
    parallelRange(size, leastElements, [&](int64_t begin, int64_t end) {
      row(end - begin, oneA ? a : a + begin, oneA, oneB ? b : b + begin, oneB, y + begin, op);
    });
    return nullptr;
  }
  parallelRange(size / inner, leastRows(inner), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t at = i * inner;
      row(inner, a + at % periodA, false, b + at % periodB, false, y + at, op);
    }
  });
  return nullptr;
}

}  // namespace

/**
 * Buffers: a, b, y, all of one floating type; a repeats every periodA elements of y, b every periodB: periods are the
 * size of y, 1 for one of them, or one of them a divisor of the size.
 * Numbers: operation (0 add, 1 subtract, 2 multiply, 3 divide), size of y, periodA, periodB.
 */
const char *binary(const vwn_call *raw) {
  Call call(raw, 3, 4);
  const int64_t operation = call.integer(0), size = call.integer(1), periodA = call.integer(2), periodB = call.integer(3);
  void *a = call.any(0, periodA), *b = call.any(1, periodB), *y = call.any(2, size);
  if (call.problem()) return call.problem();
  if (call.type(0) != call.type(2) || call.type(1) != call.type(2)) return "binary: all buffers must be of one type";
  if (size == 0) return nullptr;
  if (periodA < 1 || periodB < 1 || size % periodA || size % periodB || (periodA != size && periodB != size))
    return "binary: one operand must have the result's size, the other repeat a whole number of times";
  return withFloats(y, call.type(2), [&](auto *out) {
    using T = std::remove_pointer_t<decltype(out)>;
    const T *x = static_cast<const T *>(a), *z = static_cast<const T *>(b);
    const auto with = [&](const auto &op) { return arithmetic(size, x, periodA, z, periodB, out, op); };
    switch (operation) {
      case 0: return with([](vf p, vf q) { return p + q; });
      case 1: return with([](vf p, vf q) { return p - q; });
      case 2: return with([](vf p, vf q) { return p * q; });
      case 3: return with([](vf p, vf q) { return p / q; });
    }
    return "binary: there is no such operation";
  });
}

}  // namespace VWN_ISA
}  // namespace vwn
