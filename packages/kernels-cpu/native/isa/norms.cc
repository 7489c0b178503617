/** Root mean square norm of rows or of groups within rows, forward and backward. */
#include "../workspace.h"
#include "call.h"
#include "kernels.h"
#include "rows.h"
#include "vwn_arguments.h"

namespace vwn {
namespace VWN_ISA {
namespace {

/** Σ f(i) over a group of `size` elements, lane sums first. */
template <class F, class L>
VWN_INLINE float sumOf(int64_t size, const F &full, const L &last) {
  vf total = {};
  eachVector(size, [&](int64_t i) { total += full(i); }, [&](int64_t i, int64_t count) { total += last(i, count); });
  return sumLanes(total);
}

template <class T>
VWN_INLINE float reciprocalRms(const T *x, int64_t size, float eps) {
  const float squares = sumOf(
      size,
      [&](int64_t i) {
        const vf v = load(x + i);
        return v * v;
      },
      [&](int64_t i, int64_t count) {
        const vf v = loadFirst(x + i, count);
        return v * v;
      });
  return 1.0f / std::sqrt(squares / static_cast<float>(size) + eps);
}

template <class T>
void normRow(const T *x, const float *weight, T *y, int64_t size, float eps) {
  const vf s = splat(reciprocalRms(x, size, eps));
  eachVector(
      size, [&](int64_t i) { store(y + i, load(x + i) * s * load(weight + i)); },
      [&](int64_t i, int64_t count) {
        storeFirst(y + i, loadFirst(x + i, count) * s * loadFirst(weight + i, count), count);
      });
}

/** With g = dy·weight and x̂ = x·s: dx = s·(g − x̂·mean(g·x̂)); dWeight += dy·x̂. */
template <class T>
void normRowGrad(const T *x, const float *weight, const T *dy, T *dx, float *dWeight, int64_t size, float eps) {
  const float s = reciprocalRms(x, size, eps);
  const float dot = sumOf(
      size, [&](int64_t i) { return load(dy + i) * load(weight + i) * load(x + i); },
      [&](int64_t i, int64_t count) { return loadFirst(dy + i, count) * loadFirst(weight + i, count) * loadFirst(x + i, count); });
  const vf scale = splat(s), shift = splat(s * s * s * dot / static_cast<float>(size));
  eachVector(
      size,
      [&](int64_t i) {
        const vf d = load(dy + i), v = load(x + i);
        store(dWeight + i, load(dWeight + i) + d * v * scale);
        store(dx + i, d * load(weight + i) * scale - v * shift);
      },
      [&](int64_t i, int64_t count) {
        const vf d = loadFirst(dy + i, count), v = loadFirst(x + i, count);
        storeFirst(dWeight + i, loadFirst(dWeight + i, count) + d * v * scale, count);
        storeFirst(dx + i, d * loadFirst(weight + i, count) * scale - v * shift, count);
      });
}

}  // namespace

/** See RmsNormArguments. */
const char *rms_norm(const vwn_call *raw) {
  Call call(raw, 3, 4);
  const RmsNormArguments in(call);
  if (call.problem()) return call.problem();
  return withFloats(in.y, in.x.type, [&](auto *y) {
    using T = std::remove_pointer_t<decltype(y)>;
    const T *x = static_cast<const T *>(in.x.data);
    parallelRange(in.rows, leastRows(in.width), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++)
        for (int64_t g = 0; g < in.groups; g++) {
          const int64_t at = row * in.width + g * in.size;
          normRow(x + at, in.weight + g * in.size, y + at, in.size, in.eps);
        }
    });
    return static_cast<const char *>(nullptr);
  });
}

/** See RmsNormGradArguments. */
const char *rms_norm_grad(const vwn_call *raw) {
  Call call(raw, 5, 4);
  const RmsNormGradArguments in(call);
  if (call.problem()) return call.problem();
  const int64_t parts = threadCount();
  float *partial = static_cast<float *>(sharedScratch(Slot::partial, parts * in.width * 4));
  if (!partial) return outOfMemory;
  return withFloats(in.dx, in.x.type, [&](auto *dx) {
    using T = std::remove_pointer_t<decltype(dx)>;
    const T *x = static_cast<const T *>(in.x.data), *dy = static_cast<const T *>(in.dy);
    parallelFor(parts, [&](int64_t index, int) {
      const Range range = part(in.rows, parts, index);
      float *sums = partial + index * in.width;
      std::memset(sums, 0, static_cast<size_t>(in.width) * 4);
      for (int64_t row = range.begin; row < range.end; row++)
        for (int64_t g = 0; g < in.groups; g++) {
          const int64_t at = row * in.width + g * in.size;
          normRowGrad(x + at, in.weight + g * in.size, dy + at, dx + at, sums + g * in.size, in.size, in.eps);
        }
    });
    for (int64_t i = 0; i < in.width; i++) {
      float total = 0;
      for (int64_t index = 0; index < parts; index++) total += partial[index * in.width + i];
      in.dWeight[i] = total;
    }
    return static_cast<const char *>(nullptr);
  });
}

}  // namespace VWN_ISA
}  // namespace vwn
