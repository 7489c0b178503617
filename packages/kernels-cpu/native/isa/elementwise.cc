/** Copies, conversions, and the elementwise operations of a transformer. */
#include "call.h"
#include "kernels.h"
#include "rows.h"

namespace vwn {
namespace VWN_ISA {
namespace {

constexpr int64_t leastElements = 16384;

/** y[i] = op(x[i]…) over vectors; loads and stores in the storage types given. */
template <class Op, class Y, class... X>
const char *map(int64_t size, const Op &op, Y *y, const X *...x) {
  parallelRange(size, leastElements, [&](int64_t begin, int64_t end) {
    eachVector(
        end - begin, [&](int64_t i) { store(y + begin + i, op(load(x + begin + i)...)); },
        [&](int64_t i, int64_t count) { storeFirst(y + begin + i, op(loadFirst(x + begin + i, count)...), count); });
  });
  return nullptr;
}

}  // namespace

/** Buffers: x [size], y [size], each float32 or bf16. Numbers: size. */
const char *convert(const vwn_call *raw) {
  Call call(raw, 2, 1);
  const int64_t size = call.dimension(0);
  void *x = call.any(0, size), *y = call.any(1, size);
  if (call.problem()) return call.problem();
  return withFloats(x, call.type(0), [&](auto *from) {
    return withFloats(y, call.type(1), [&](auto *to) { return map(size, [](vf v) { return v; }, to, from); });
  });
}

/** Buffers: y [size]. Numbers: size, value. */
const char *fill(const vwn_call *raw) {
  Call call(raw, 1, 2);
  const int64_t size = call.dimension(0);
  void *y = call.any(0, size);
  if (call.problem()) return call.problem();
  const vf value = splat(call.real(1));
  return withFloats(y, call.type(0), [&](auto *to) { return map(size, [&] { return value; }, to); });
}

/** Buffers: gate, up, y, all [size] of one type. Numbers: size. */
const char *swiglu(const vwn_call *raw) {
  Call call(raw, 3, 1);
  const int64_t size = call.dimension(0);
  void *gate = call.any(0, size), *up = call.any(1, size), *y = call.any(2, size);
  call.sameType({0, 1, 2});
  if (call.problem()) return call.problem();
  return withFloats(y, call.type(2), [&](auto *out) {
    using T = std::remove_pointer_t<decltype(out)>;
    const auto op = [](vf g, vf u) { return g * vsigmoid(g) * u; };
    return map(size, op, out, static_cast<const T *>(gate), static_cast<const T *>(up));
  });
}

/** Buffers: gate, up, dy, dGate, dUp, all [size] of one type. Numbers: size. */
const char *swiglu_grad(const vwn_call *raw) {
  Call call(raw, 5, 1);
  const int64_t size = call.dimension(0);
  void *p[5];
  for (int i = 0; i < 5; i++) p[i] = call.any(i, size);
  call.sameType({0, 1, 2, 3, 4});
  if (call.problem()) return call.problem();
  return withFloats(p[3], call.type(3), [&](auto *dGate) {
    using T = std::remove_pointer_t<decltype(dGate)>;
    const auto *gate = static_cast<const T *>(p[0]), *up = static_cast<const T *>(p[1]), *dy = static_cast<const T *>(p[2]);
    T *dUp = static_cast<T *>(p[4]);
    // silu' = s + silu·(1 − s)
    const auto one = [&](vf g, vf u, vf d, vf &toGate, vf &toUp) {
      const vf s = vsigmoid(g), silu = g * s;
      toGate = d * u * (s + silu * (1.0f - s));
      toUp = d * silu;
    };
    parallelRange(size, leastElements, [&](int64_t begin, int64_t end) {
      eachVector(
          end - begin,
          [&](int64_t j) {
            const int64_t i = begin + j;
            vf a, b;
            one(load(gate + i), load(up + i), load(dy + i), a, b);
            store(dGate + i, a);
            store(dUp + i, b);
          },
          [&](int64_t j, int64_t count) {
            const int64_t i = begin + j;
            vf a, b;
            one(loadFirst(gate + i, count), loadFirst(up + i, count), loadFirst(dy + i, count), a, b);
            storeFirst(dGate + i, a, count);
            storeFirst(dUp + i, b, count);
          });
    });
    return static_cast<const char *>(nullptr);
  });
}

}  // namespace VWN_ISA
}  // namespace vwn
