/** Elementwise arithmetic of two tensors with any broadcast. */
#include "call.h"
#include "kernels.h"
#include "rows.h"

namespace vwn {
namespace VWN_ISA {
namespace {

constexpr int maximumRank = 8;

/** Dimensions of y, which lies contiguously, and steps of a and b along them; along the last one 0 or 1. */
struct Broadcast {
  int rank;
  int64_t dims[maximumRank], a[maximumRank], b[maximumRank];
};

/** y[i] = op(a[i], b[i]) on one row. */
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
void rows(const Broadcast &v, const T *a, const T *b, T *y, int64_t begin, int64_t end, const Op &op) {
  const int last = v.rank - 1;
  const int64_t inner = v.dims[last];
  const bool oneA = v.a[last] == 0, oneB = v.b[last] == 0;
  for (int64_t index = begin; index < end; index++) {
    int64_t rest = index, atA = 0, atB = 0;
    for (int d = last - 1; d >= 0; d--) {
      const int64_t i = rest % v.dims[d];
      rest /= v.dims[d];
      atA += i * v.a[d];
      atB += i * v.b[d];
    }
    row(inner, a + atA, oneA, b + atB, oneB, y + index * inner, op);
  }
}

template <class T, class Op>
const char *arithmetic(const Broadcast &v, const T *a, const T *b, T *y, const Op &op) {
  const int last = v.rank - 1;
  int64_t count = 1;
  for (int d = 0; d < last; d++) count *= v.dims[d];
  if (count > 1) {
    parallelRange(count, leastRows(v.dims[last]), [&](int64_t begin, int64_t end) { rows(v, a, b, y, begin, end, op); });
    return nullptr;
  }
  const bool oneA = v.a[last] == 0, oneB = v.b[last] == 0;
  parallelRange(v.dims[last], 16384, [&](int64_t begin, int64_t end) {
    row(end - begin, oneA ? a : a + begin, oneA, oneB ? b : b + begin, oneB, y + begin, op);
  });
  return nullptr;
}

/** Elements that an operand with these steps must have at least. */
int64_t reach(const Broadcast &v, const int64_t *steps) {
  int64_t size = 1;
  for (int d = 0; d < v.rank; d++) {
    int64_t span;
    if (__builtin_mul_overflow(v.dims[d] - 1, steps[d], &span) || __builtin_add_overflow(size, span, &size)) return INT64_MAX;
  }
  return size;
}

}  // namespace

/**
 * Buffers: a, b, y, all of one floating type; y contiguous. Numbers: operation (0 add, 1 subtract, 2 multiply,
 * 3 divide), rank (1 … 8), then for each dimension its size, a's step, b's step; the last steps are 0 or 1.
 */
const char *binary(const vwn_call *raw) {
  Call call(raw, 3, 5);
  Broadcast v{call.integer(1) <= maximumRank ? static_cast<int>(call.integer(1)) : 0, {}, {}, {}};
  if (v.rank < 1 || raw->number_count < 2 + 3 * v.rank) return "binary: 1 to 8 dimensions are needed";
  int64_t size = 1;
  for (int d = 0; d < v.rank; d++) {
    v.dims[d] = call.dimension(2 + 3 * d);
    v.a[d] = call.dimension(3 + 3 * d);
    v.b[d] = call.dimension(4 + 3 * d);
    size = Call::product({size, v.dims[d]});
  }
  void *a = call.any(0, call.size(0)), *b = call.any(1, call.size(1)), *y = call.any(2, size);
  if (call.problem()) return call.problem();
  if (size == 0) return nullptr;
  if (v.a[v.rank - 1] > 1 || v.b[v.rank - 1] > 1) return "binary: the last dimension must be contiguous or repeated";
  if (reach(v, v.a) > call.size(0) || reach(v, v.b) > call.size(1)) return "binary: the broadcast leaves its operand";
  if (call.type(0) != call.type(2) || call.type(1) != call.type(2)) return "binary: all buffers must be of one type";
  return withFloats(y, call.type(2), [&](auto *out) {
    using T = std::remove_pointer_t<decltype(out)>;
    const T *p = static_cast<const T *>(a), *q = static_cast<const T *>(b);
    switch (call.integer(0)) {
      case 0: return arithmetic(v, p, q, out, [](vf x, vf z) { return x + z; });
      case 1: return arithmetic(v, p, q, out, [](vf x, vf z) { return x - z; });
      case 2: return arithmetic(v, p, q, out, [](vf x, vf z) { return x * z; });
      case 3: return arithmetic(v, p, q, out, [](vf x, vf z) { return x / z; });
    }
    return "binary: there is no such operation";
  });
}

}  // namespace VWN_ISA
}  // namespace vwn
