/** Root mean square norm, alone and behind a residual sum; kernels in device/norms.cu. */
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

/** Eights of a row that a lane of its warp has, for kernels of whole rows in bf16; 0 where rows are not for them. */
int64_t eightsOfLane(int32_t type, int64_t size, std::initializer_list<const void *> all) {
  constexpr int64_t ofWarp = 8 * 32, most = 8;
  if (type != VWN_BF16 || size % 8 != 0 || size > most * ofWarp || !areOnSixteen(all)) return 0;
  int64_t eights = 1;
  while (eights * ofWarp < size) eights *= 2;
  return eights;
}
std::string nameOfRows(const char *kernel, int64_t eights) { return std::string(kernel) + "_of" + std::to_string(eights) + "_bf16"; }

/** What both gradients are made from: dx, to which `beside` is added where it is there, and dWeight. */
struct NormGradient {
  Reals x;
  const float *weight;
  const void *dy, *beside;
  void *dx;
  float *dWeight;
  int64_t rows, groups, size;
  float eps;
};

/** Both in one pass. False where the shape is not for that. */
bool launchRowsGrad(const NormGradient &in) {
  constexpr int64_t mostGroups = 65535;
  const int64_t eights = eightsOfLane(in.x.type, in.size, {in.x.data, in.dy, in.beside, in.dx, in.weight});
  if (eights == 0 || in.groups > mostGroups || in.rows == 0) return false;
  // As many blocks for all groups together as for one.
  const int64_t most = std::max<int64_t>(partsOf(in.rows) / in.groups, 1);
  const int64_t parts = std::min(blocksForGroups(in.rows), most), width = in.groups * in.size;
  float *partial = static_cast<float *>(scratch(Slot::partial, parts * width * 4));
  launch(nameOfRows("rmsNormRowsGrad", eights), {parts, in.groups}, 32 * warpsOfBlock, in.size * 4, static_cast<const bf16 *>(in.x.data), in.weight,
         static_cast<const bf16 *>(in.dy), static_cast<const bf16 *>(in.beside), static_cast<bf16 *>(in.dx), partial, in.rows, in.size,
         in.eps);
  addParts(partial, in.dWeight, parts, width);
  return true;
}

void launchGrad(const NormGradient &in) {
  const int64_t width = in.groups * in.size;
  if (width == 0 || launchRowsGrad(in)) return;
  const int64_t parts = partsOf(in.rows);
  float *reciprocals = static_cast<float *>(scratch(Slot::rows, (in.rows * in.groups + 1) * 4));
  float *partial = static_cast<float *>(scratch(Slot::partial, parts * width * 4));
  withFloats(in.dx, in.x.type, [&](auto *dx) {
    using T = std::remove_pointer_t<decltype(dx)>;
    const T *x = static_cast<const T *>(in.x.data), *dy = static_cast<const T *>(in.dy), *beside = static_cast<const T *>(in.beside);
    launch(forType("rmsNormGrad", in.x.type), {blocksForGroups(in.rows * in.groups)}, 256, 0, x, in.weight, dy, beside, dx, reciprocals,
           in.rows, in.groups, in.size, in.eps);
    const float *s = reciprocals;
    launch(forType("rmsNormWeightGrad", in.x.type), {blocksFor(width), parts}, 256, 0, x, dy, s, partial, in.rows, in.groups, in.size);
  });
  addParts(partial, in.dWeight, parts, width);
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
  launchGrad({in.x, in.weight, in.dy, nullptr, in.dx, in.dWeight, in.rows, in.groups, in.size, in.eps});
  return nullptr;
}

/** See ResidualStepArguments. */
const char *residual_step(const vwn_call *raw) {
  Call call(raw, 5, 3);
  const ResidualStepArguments in(call);
  if (call.problem()) return call.problem();
  const int64_t eights = eightsOfLane(in.h.type, in.size, {in.h.data, in.out, in.weight, in.next, in.x});
  withFloats(in.next, in.h.type, [&](auto *next) {
    using T = std::remove_pointer_t<decltype(next)>;
    launch(eights > 0 ? nameOfRows("residualStepRows", eights) : forType("residualStep", in.h.type), {blocksForGroups(in.rows)},
           32 * warpsOfBlock, 0, static_cast<const T *>(in.h.data), static_cast<const T *>(in.out), in.weight, next,
           static_cast<T *>(in.x), in.rows, in.size, in.eps);
  });
  return nullptr;
}

/** See ResidualStepGradArguments. */
const char *residual_step_grad(const vwn_call *raw) {
  Call call(raw, 6, 3);
  const ResidualStepGradArguments in(call);
  if (call.problem()) return call.problem();
  launchGrad({in.next, in.weight, in.dx, in.dNext, in.dh, in.dWeight, in.rows, 1, in.size, in.eps});
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
