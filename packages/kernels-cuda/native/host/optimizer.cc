/** Clipping's norm and AdamW over all tensors of a model, in place; kernels in device/optimizer.cu. */
#include "../device/tensor-lists.h"
#include "../runtime.h"
#include "functions.h"
#include "vwn_adamw.h"

namespace vwn {
namespace VWN_ISA {
namespace {

/** Blocks that share one tensor's sum of squares. */
constexpr int64_t partsOfTensor = 64;

Update updateOf(const AdamwTensor &of) {
  return {of.parameter, of.gradient, of.first, of.second, static_cast<bf16 *>(of.rounded), of.size, of.row};
}

}  // namespace

/** See AdamwArguments. */
const char *adamw(const vwn_call *raw) {
  Call call(raw, 2, 4);
  const AdamwArguments in(call);
  if (in.problem()) return in.problem();
  if (call.problem()) return call.problem();
  const int tensors = static_cast<int>(in.tensors.size());
  for (int from = 0; from < tensors; from += tensorsOfLaunch) {
    Updates updates{};
    const int here = tensors - from < tensorsOfLaunch ? tensors - from : tensorsOfLaunch;
    int64_t largest = 0;
    for (int i = 0; i < here; i++) {
      updates.each[i] = updateOf(in.tensors[static_cast<size_t>(from + i)]);
      if (updates.each[i].size > largest) largest = updates.each[i].size;
    }
    launch("adamw_f32", {blocksFor((largest + 7) / 8, 256, 1024), here}, 256, 0, updates, in.beta1, in.beta2, in.eps, in.factors,
           in.gradScale);
  }
  return nullptr;
}

/** Buffers: norm, loss, result, float32 [1] each. Numbers: the largest norm that is wanted, 0 for any. */
const char *clip_scale(const vwn_call *raw) {
  Call call(raw, 3, 1);
  const float *norm = call.floats(0, 1), *loss = call.floats(1, 1);
  float *result = call.floats(2, 1);
  if (call.problem()) return call.problem();
  launch("clipScale_f32", {1}, 32, 0, norm, loss, call.real(0), result);
  return nullptr;
}

/** Buffers: tensors float32, last the result float32 [1]: the square root of the sum of all squares. */
const char *global_norm(const vwn_call *raw) {
  Call call(raw, 1, 0);
  if (call.problem()) return call.problem();
  const int count = call.buffers() - 1;
  float *result = call.floats(count, 1);
  for (int t = 0; t < count; t++) (void)call.floats(t, call.size(t));
  if (call.problem()) return call.problem();
  float *partial = static_cast<float *>(scratch(Slot::partial, (count * partsOfTensor + 1) * 4));
  for (int from = 0; from < count; from += tensorsOfLaunch) {
    Tensors tensors{};
    const int here = count - from < tensorsOfLaunch ? count - from : tensorsOfLaunch;
    for (int i = 0; i < here; i++) {
      tensors.sizes[i] = call.size(from + i);
      tensors.each[i] = call.floats(from + i, tensors.sizes[i]);
    }
    launch("sumSquares_f32", {partsOfTensor, here}, 256, 128, tensors, partial + from * partsOfTensor);
  }
  const float *sums = partial;
  launch("rootOfSum_f32", {1}, 256, 256 * 8, sums, count * partsOfTensor, result);
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
