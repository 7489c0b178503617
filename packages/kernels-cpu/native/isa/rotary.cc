/** Rotary position embedding, rotate-half convention. */
#include <vector>

#include "call.h"
#include "kernels.h"
#include "rows.h"

namespace vwn {
namespace VWN_ISA {
namespace {

/** cos and sin of (offset + t)·theta^(−2i/d), each [T, d/2]; the last table is kept, for a model asks for one only. */
struct Rotation {
  int64_t length = -1, half = 0, offset = 0;
  double theta = 0;
  std::vector<float> cosine, sine;

  void prepare(int64_t T, int64_t d2, double base, int64_t from) {
    if (T == length && d2 == half && base == theta && from == offset) return;
    length = -1;
    cosine.resize(static_cast<size_t>(T * d2));
    sine.resize(static_cast<size_t>(T * d2));
    for (int64_t t = 0; t < T; t++)
      for (int64_t i = 0; i < d2; i++) {
        const double angle = static_cast<double>(from + t) * std::pow(base, -static_cast<double>(i) / static_cast<double>(d2));
        cosine[static_cast<size_t>(t * d2 + i)] = static_cast<float>(std::cos(angle));
        sine[static_cast<size_t>(t * d2 + i)] = static_cast<float>(std::sin(angle));
      }
    length = T, half = d2, offset = from, theta = base;
  }
};
Rotation rotation;

template <class T>
VWN_INLINE void rotate(const T *x, T *y, const float *cosine, const float *sine, int64_t half, float sign) {
  const vf direction = splat(sign);
  eachVector(
      half,
      [&](int64_t i) {
        const vf a = load(x + i), b = load(x + half + i), c = load(cosine + i), s = load(sine + i) * direction;
        store(y + i, a * c - b * s);
        store(y + half + i, b * c + a * s);
      },
      [&](int64_t i, int64_t n) {
        const vf a = loadFirst(x + i, n), b = loadFirst(x + half + i, n);
        const vf c = loadFirst(cosine + i, n), s = loadFirst(sine + i, n) * direction;
        storeFirst(y + i, a * c - b * s, n);
        storeFirst(y + half + i, b * c + a * s, n);
      });
}

}  // namespace

/** Buffers: x, y, both [B·T·H·d] of one type. Numbers: B, T, H, d, theta, offset, inverse. */
const char *rotary_embedding(const vwn_call *raw) {
  Call call(raw, 2, 7);
  const int64_t B = call.dimension(0), T = call.dimension(1), H = call.dimension(2), d = call.dimension(3), half = d / 2;
  void *x = call.any(0, {B, T, H, d}), *y = call.any(1, {B, T, H, d});
  call.sameType({0, 1});
  if (call.problem()) return call.problem();
  if (d % 2) return "the head width must be even";
  rotation.prepare(T, half, call.exact(4), call.integer(5));
  const float sign = call.integer(6) ? -1.0f : 1.0f;
  return withFloats(y, call.type(1), [&](auto *out) {
    using S = std::remove_pointer_t<decltype(out)>;
    const S *in = static_cast<const S *>(x);
    parallelRange(B * T, leastRows(H * d), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++)
        for (int64_t h = 0; h < H; h++) {
          const int64_t at = (row * H + h) * d, table = row % T * half;
          rotate(in + at, out + at, rotation.cosine.data() + table, rotation.sine.data() + table, half, sign);
        }
    });
    return static_cast<const char *>(nullptr);
  });
}

}  // namespace VWN_ISA
}  // namespace vwn
