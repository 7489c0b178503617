/** Root mean square norm; kernels in device/norms.cu. */
#include <algorithm>
#include <initializer_list>
#include <string>
#include <type_traits>

#include "functions.h"
#include "parts.h"
#include "vwn_arguments.h"

namespace vwn {
namespace VWN_ISA {
namespace {

constexpr int64_t warpsOfBlock = 8;

int64_t blocksForGroups(int64_t groups) { return blocksFor(groups, warpsOfBlock); }

bool areOnSixteen(std::initializer_list<const void *> all) {
  for (const void *each : all)
    if (reinterpret_cast<uintptr_t>(each) % 16 != 0) return false;
  return true;
}

/** Whole rows in one pass. False where the shape is not for that. */
bool launchRowsGrad(const RmsNormGradArguments &in) {
  constexpr int64_t ofWarp = 8 * 32, mostEights = 8;
  const bool areRows = in.x.type == VWN_BF16 && in.groups == 1 && in.size % 8 == 0 && in.size <= mostEights * ofWarp && in.rows > 0;
  if (!areRows || !areOnSixteen({in.x.data, in.dy, in.dx, in.weight})) return false;
  int64_t eights = 1;
  while (eights * ofWarp < in.size) eights *= 2;
  const int64_t rowsOfBlocks = (in.rows + warpsOfBlock - 1) / warpsOfBlock, parts = std::min(rowsOfBlocks, partsOf(in.rows));
  float *partial = static_cast<float *>(scratch(Slot::partial, parts * in.size * 4));
  launch("rmsNormRowsGrad_of" + std::to_string(eights) + "_bf16", {parts}, 32 * warpsOfBlock, in.size * 4,
         static_cast<const bf16 *>(in.x.data), in.weight, static_cast<const bf16 *>(in.dy), static_cast<bf16 *>(in.dx), partial,
         in.rows, in.size, in.eps);
  addParts(partial, in.dWeight, parts, in.size);
  return true;
}

}  // namespace

/** See RmsNormArguments. */
const char *rms_norm(const vwn_call *raw) {
  Call call(raw, 3, 4);
  const RmsNormArguments in(call);
  if (call.problem()) return call.problem();
  withFloats(in.y, in.x.type, [&](auto *y) {
    using T = std::remove_pointer_t<decltype(y)>;
    launch(forType("rmsNorm", in.x.type), {blocksForGroups(in.rows * in.groups)}, 256, 0,
           static_cast<const T *>(in.x.data), in.weight, y, in.rows, in.groups, in.size, in.eps);
  });
  return nullptr;
}

/** See RmsNormGradArguments. */
const char *rms_norm_grad(const vwn_call *raw) {
  Call call(raw, 5, 4);
  const RmsNormGradArguments in(call);
  if (call.problem()) return call.problem();
  if (in.width == 0 || launchRowsGrad(in)) return nullptr;
  const int64_t parts = partsOf(in.rows);
  float *reciprocals = static_cast<float *>(scratch(Slot::rows, (in.rows * in.groups + 1) * 4));
  float *partial = static_cast<float *>(scratch(Slot::partial, parts * in.width * 4));
  withFloats(in.dx, in.x.type, [&](auto *dx) {
    using T = std::remove_pointer_t<decltype(dx)>;
    const T *x = static_cast<const T *>(in.x.data), *dy = static_cast<const T *>(in.dy);
    launch(forType("rmsNormGrad", in.x.type), {blocksForGroups(in.rows * in.groups)}, 256, 0, x, in.weight, dy, dx,
           reciprocals, in.rows, in.groups, in.size, in.eps);
    const float *s = reciprocals;
    launch(forType("rmsNormWeightGrad", in.x.type), {blocksFor(in.width), parts}, 256, 0, x, dy, s, partial, in.rows,
           in.groups, in.size);
  });
  addParts(partial, in.dWeight, parts, in.width);
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
