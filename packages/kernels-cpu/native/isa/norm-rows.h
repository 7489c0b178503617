/** Root mean square norm of one row, forward and backward; sums are float32. */
#pragma once
#include "simd.h"

namespace vwn {
namespace VWN_ISA {

/** A row of `size` numbers, of which `elements` count: the others are 0 in rows that are padded to whole vectors. */
struct NormedRow {
  int64_t size, elements;
  float eps;
};

/** Σ f(i) over a group of `size` elements, lane sums first. */
template <class F, class L>
VWN_INLINE float sumOf(int64_t size, const F &full, const L &last) {
  vf total = {};
  eachVector(size, [&](int64_t i) { total += full(i); }, [&](int64_t i, int64_t count) { total += last(i, count); });
  return sumLanes(total);
}

/** 1/rms of a row whose squares have this sum. */
VWN_INLINE float reciprocalOf(float squares, const NormedRow &row) {
  return 1.0f / std::sqrt(squares / static_cast<float>(row.elements) + row.eps);
}

template <class T>
VWN_INLINE float reciprocalRms(const T *x, const NormedRow &row) {
  const float squares = sumOf(
      row.size,
      [&](int64_t i) {
        const vf v = load(x + i);
        return v * v;
      },
      [&](int64_t i, int64_t count) {
        const vf v = loadFirst(x + i, count);
        return v * v;
      });
  return reciprocalOf(squares, row);
}

/** y = x · reciprocal · weight; y may be x. */
template <class X, class Y>
VWN_INLINE void normRowBy(float reciprocal, const NormedRow &row, const X *x, const float *weight, Y *y) {
  const vf s = splat(reciprocal);
  eachVector(
      row.size, [&](int64_t i) { store(y + i, load(x + i) * s * load(weight + i)); },
      [&](int64_t i, int64_t count) {
        storeFirst(y + i, loadFirst(x + i, count) * s * loadFirst(weight + i, count), count);
      });
}

/** y = x / rms(x) · weight; y may be x. */
template <class T>
VWN_INLINE void normRow(const NormedRow &row, const T *x, const float *weight, T *y) {
  normRowBy(reciprocalRms(x, row), row, x, weight, y);
}

/** What a gradient has besides: nothing, or `from`. */
struct Alone {
  inline __attribute__((always_inline)) vf with(int64_t, vf gradient) const { return gradient; }
  inline __attribute__((always_inline)) vf with(int64_t, int64_t, vf gradient) const { return gradient; }
};
template <class T>
struct Beside {
  const T *from;
  inline __attribute__((always_inline)) vf with(int64_t i, vf gradient) const { return load(from + i) + gradient; }
  inline __attribute__((always_inline)) vf with(int64_t i, int64_t count, vf gradient) const { return loadFirst(from + i, count) + gradient; }
};

/** With s = 1/rms(x), g = dy·weight and x̂ = x·s: dx = s·(g − x̂·mean(g·x̂)), `beside` added; dWeight += dy·x̂. dx may be x. */
template <class X, class Up, class Down, class More = Alone>
VWN_INLINE void normRowGradBy(float s, const NormedRow &row, const X *x, const float *weight, const Up *dy, Down *dx, float *dWeight,
                              const More &beside = {}) {
  const float dot = sumOf(
      row.size, [&](int64_t i) { return load(dy + i) * load(weight + i) * load(x + i); },
      [&](int64_t i, int64_t count) { return loadFirst(dy + i, count) * loadFirst(weight + i, count) * loadFirst(x + i, count); });
  const vf scale = splat(s), shift = splat(s * s * s * dot / static_cast<float>(row.elements));
  eachVector(
      row.size,
      [&](int64_t i) {
        const vf d = load(dy + i), v = load(x + i);
        store(dWeight + i, load(dWeight + i) + d * v * scale);
        store(dx + i, beside.with(i, d * load(weight + i) * scale - v * shift));
      },
      [&](int64_t i, int64_t count) {
        const vf d = loadFirst(dy + i, count), v = loadFirst(x + i, count);
        storeFirst(dWeight + i, loadFirst(dWeight + i, count) + d * v * scale, count);
        storeFirst(dx + i, beside.with(i, count, d * loadFirst(weight + i, count) * scale - v * shift), count);
      });
}

template <class T, class More = Alone>
VWN_INLINE void normRowGrad(const NormedRow &row, const T *x, const float *weight, const T *dy, T *dx, float *dWeight, const More &beside = {}) {
  normRowGradBy(reciprocalRms(x, row), row, x, weight, dy, dx, dWeight, beside);
}

}  // namespace VWN_ISA
}  // namespace vwn
