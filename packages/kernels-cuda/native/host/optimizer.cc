/** Clipping's norm and AdamW over all tensors of a model, in place; kernels in device/optimizer.cu. */
#include <cmath>

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
  const double lr = call.exact(1), beta1 = call.exact(2), beta2 = call.exact(3);
  const double decay = call.exact(6 + 2 * tensor), step = call.exact(7 + 2 * tensor);
  const int64_t size = call.size(4 * tensor);
  float *data[4];
  for (int i = 0; i < 4; i++) data[i] = call.floats(4 * tensor + i, size);
  return {data[0],
          data[1],
          data[2],
          data[3],
          size,
          static_cast<float>(1 - lr * decay),
          static_cast<float>(lr / (1 - std::pow(beta1, step))),
          static_cast<float>(1 / std::sqrt(1 - std::pow(beta2, step)))};
}

}  // namespace

/**
 * Buffers: for each tensor param, grad, m, v, all float32 of one size; param, m and v are updated in place.
 * Numbers: tensors, lr, beta1, beta2, eps, gradScale, then for each tensor its weight decay and its step (1, 2, …).
 */
const char *adamw(const vwn_call *raw) {
  Call call(raw, 0, 6);
  const int64_t count = call.dimension(0);
  if (count > call.buffers() || call.buffers() != 4 * count || call.numbers() != 6 + 2 * count)
    return "adamw takes four buffers and two numbers a tensor";
  // All are checked before the first is changed.
  for (int t = 0; t < count; t++) (void)updateOf(call, t);
  if (call.problem()) return call.problem();
  for (int from = 0; from < count; from += tensorsOfLaunch) {
    Updates updates{};
    const int here = count - from < tensorsOfLaunch ? static_cast<int>(count) - from : tensorsOfLaunch;
    int64_t largest = 0;
    for (int i = 0; i < here; i++) {
      updates.each[i] = updateOf(call, from + i);
      if (updates.each[i].size > largest) largest = updates.each[i].size;
    }
    launch("adamw_f32", {blocksFor(largest, 256, 1024), here}, 256, 0, updates, call.real(2), call.real(3), call.real(4),
           call.real(5));
  }
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
