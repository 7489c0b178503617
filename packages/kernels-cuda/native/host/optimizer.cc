/** Clipping's norm and AdamW over all tensors of a model, in place; kernels in device/optimizer.cu. */
#include "../device/tensor-lists.h"
#include "../runtime.h"
#include "functions.h"
#include "vwn_call.h"

namespace vwn {
namespace VWN_ISA {
namespace {

/** Blocks that share one tensor's sum of squares. */
constexpr int64_t partsOfTensor = 64;

Update updateOf(Call &call, int tensor) {
  const int64_t size = call.size(4 * tensor);
  float *data[4];
  for (int i = 0; i < 4; i++) data[i] = call.floats(4 * tensor + i, size);
  return {data[0], data[1], data[2], data[3], size, call.dimension(4 + tensor)};
}

}  // namespace

/**
 * Buffers: for each tensor param, grad, m, v, all float32 of one size; param, m and v are updated in place. Then factors
 * [rows, 3], and gradScale [1]: NaN says that nothing is to change.
 * Numbers: tensors, beta1, beta2, eps, then for each tensor its row of factors.
 */
const char *adamw(const vwn_call *raw) {
  Call call(raw, 2, 4);
  const int64_t count = call.dimension(0);
  if (count > call.buffers() || call.buffers() != 4 * count + 2 || call.numbers() != 4 + count)
    return "adamw takes four buffers and one number a tensor, and two buffers behind them";
  const int tensors = static_cast<int>(count);
  const int64_t rows = call.size(4 * tensors) / 3;
  const float *factors = call.floats(4 * tensors, 3 * rows), *gradScale = call.floats(4 * tensors + 1, 1);
  // All are checked before the first is changed.
  for (int t = 0; t < tensors; t++)
    if (updateOf(call, t).row >= rows) return "adamw: a tensor's row of factors is not there";
  if (call.problem()) return call.problem();
  for (int from = 0; from < tensors; from += tensorsOfLaunch) {
    Updates updates{};
    const int here = tensors - from < tensorsOfLaunch ? tensors - from : tensorsOfLaunch;
    int64_t largest = 0;
    for (int i = 0; i < here; i++) {
      updates.each[i] = updateOf(call, from + i);
      if (updates.each[i].size > largest) largest = updates.each[i].size;
    }
    launch("adamw_f32", {blocksFor((largest + 7) / 8, 256, 1024), here}, 256, 0, updates, call.real(1), call.real(2), call.real(3),
           factors, gradScale);
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
