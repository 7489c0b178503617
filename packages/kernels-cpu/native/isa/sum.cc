/** Sums along neighbouring dimensions: y[o, i] = factor · Σ_r x[o, r, i]. */
#include "../workspace.h"
#include "call.h"
#include "kernels.h"
#include "rows.h"

namespace vwn {
namespace VWN_ISA {
namespace {

/** Elements that are summed one after the other; longer sums are sums of such parts, in order. */
constexpr int64_t partSize = 4096;

template <class T>
float sumOf(const T *x, int64_t count) {
  vf sums[4] = {};
  int64_t i = 0;
  for (; i + 4 * W <= count; i += 4 * W)
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) sums[k] += load(x + i + k * W);
  for (; i + W <= count; i += W) sums[0] += load(x + i);
  if (i < count) sums[1] += loadFirst(x + i, count - i);
  return sumLanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

/** inner = 1: rows that lie as they are summed. */
template <class T>
const char *sumRows(const T *x, int64_t outer, int64_t count, float factor, float *y) {
  const int64_t parts = (count + partSize - 1) / partSize;
  double *partial = static_cast<double *>(sharedScratch(Slot::partial, (outer * parts + 1) * 8));
  if (!partial) return outOfMemory;
  parallelRange(outer * parts, leastRows(count < partSize ? count : partSize), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) {
      const int64_t first = task % parts * partSize, left = count - first;
      partial[task] = sumOf(x + task / parts * count + first, left < partSize ? left : partSize);
    }
  });
  for (int64_t o = 0; o < outer; o++) {
    double total = 0;
    for (int64_t part = 0; part < parts; part++) total += partial[o * parts + part];
    y[o] = static_cast<float>(total * factor);
  }
  return nullptr;
}

/** Columns [from, from + width) of one outer index: rows are added in parts, parts in order. */
template <class T>
void sumColumns(const T *x, int64_t count, int64_t inner, int64_t width, float factor, float *y) {
  for (int64_t i = 0; i < width; i += W) {
    const int64_t lanes = width - i < W ? width - i : W;
    vf total = {};
    for (int64_t first = 0; first < count; first += partSize) {
      vf part = {};
      const int64_t end = first + partSize < count ? first + partSize : count;
      for (int64_t r = first; r < end; r++) part += lanes == W ? load(x + r * inner + i) : loadFirst(x + r * inner + i, lanes);
      total += part;
    }
    total *= factor;
    if (lanes == W) store(y + i, total);
    else storeFirst(y + i, total, lanes);
  }
}

template <class T>
const char *sum(const T *x, int64_t outer, int64_t count, int64_t inner, float factor, float *y) {
  if (inner == 1) return sumRows(x, outer, count, factor, y);
  // Columns in strips of two cache lines, so that strips are tasks and read whole lines.
  constexpr int64_t strip = 2 * 64 / static_cast<int64_t>(sizeof(T));
  const int64_t strips = (inner + strip - 1) / strip;
  parallelRange(outer * strips, leastRows(count * (inner < strip ? inner : strip)), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) {
      const int64_t o = task / strips, from = task % strips * strip, left = inner - from;
      sumColumns(x + o * count * inner + from, count, inner, left < strip ? left : strip, factor, y + o * inner + from);
    }
  });
  return nullptr;
}

}  // namespace

/** Buffers: x [outer·count·inner] floating, y float32 [outer·inner]. Numbers: outer, count, inner, factor. */
const char *sum_axis(const vwn_call *raw) {
  Call call(raw, 2, 4);
  const int64_t outer = call.dimension(0), count = call.dimension(1), inner = call.dimension(2);
  void *x = call.any(0, {outer, count, inner});
  float *y = call.floats(1, {outer, inner});
  if (call.problem()) return call.problem();
  return withFloats(x, call.type(0),
                    [&](auto *in) { return sum<std::remove_pointer_t<decltype(in)>>(in, outer, count, inner, call.real(3), y); });
}

}  // namespace VWN_ISA
}  // namespace vwn
