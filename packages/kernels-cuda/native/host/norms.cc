/** Root mean square norm; kernels in device/norms.cu. */
#include <type_traits>

#include "functions.h"
#include "parts.h"
#include "vwn_call.h"

namespace vwn {
namespace VWN_ISA {
namespace {

constexpr int64_t warpsOfBlock = 8;

int64_t blocksForGroups(int64_t groups) { return blocksFor(groups, warpsOfBlock); }

}  // namespace

/** Buffers: x, weight float32 [groups·size], y; x and y [rows·groups·size]. Numbers: rows, groups, size, eps. */
const char *rms_norm(const vwn_call *raw) {
  Call call(raw, 3, 4);
  const int64_t rows = call.dimension(0), groups = call.dimension(1), size = call.dimension(2);
  const int64_t width = Call::product({groups, size});
  const float eps = call.real(3), *weight = call.floats(1, width);
  void *x = call.reals(0, {rows, width}), *y = call.reals(2, {rows, width});
  call.sameType({0, 2});
  if (call.problem()) return call.problem();
  withFloats(y, call.type(2), [&](auto *out) {
    using T = std::remove_pointer_t<decltype(out)>;
    launch(forType("rmsNorm", call.type(2)), {blocksForGroups(rows * groups)}, 256, 0, static_cast<const T *>(x), weight,
           out, rows, groups, size, eps);
  });
  return nullptr;
}

/** Buffers: x, weight float32, dy, dx, dWeight float32. Numbers: rows, groups, size, eps. */
const char *rms_norm_grad(const vwn_call *raw) {
  Call call(raw, 5, 4);
  const int64_t rows = call.dimension(0), groups = call.dimension(1), size = call.dimension(2);
  const int64_t width = Call::product({groups, size});
  const float eps = call.real(3), *weight = call.floats(1, width);
  float *dWeight = call.floats(4, width);
  void *x = call.reals(0, {rows, width}), *dy = call.reals(2, {rows, width}), *dx = call.reals(3, {rows, width});
  call.sameType({0, 2, 3});
  if (call.problem()) return call.problem();
  if (width == 0) return nullptr;
  const int64_t parts = partsOf(rows);
  float *reciprocals = static_cast<float *>(scratch(Slot::rows, (rows * groups + 1) * 4));
  float *partial = static_cast<float *>(scratch(Slot::partial, parts * width * 4));
  withFloats(dx, call.type(3), [&](auto *out) {
    using T = std::remove_pointer_t<decltype(out)>;
    const T *in = static_cast<const T *>(x), *up = static_cast<const T *>(dy);
    launch(forType("rmsNormGrad", call.type(3)), {blocksForGroups(rows * groups)}, 256, 0, in, weight, up, out, reciprocals,
           rows, groups, size, eps);
    const float *s = reciprocals;
    launch(forType("rmsNormWeightGrad", call.type(3)), {blocksFor(width), parts}, 256, 0, in, up, s, partial, rows, groups,
           size);
  });
  addParts(partial, dWeight, parts, width);
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
