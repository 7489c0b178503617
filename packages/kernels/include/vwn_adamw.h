/** Arguments of adamw, read and checked for all libraries. Where `problem()` of them or of the call says something, pointers must not be used. */
#pragma once
#include <vector>

#include "vwn_call.h"

namespace vwn {
namespace VWN_ISA {

/** Updated in place but for its gradient; `rounded`, null or bf16, becomes the new parameter, rounded. */
struct AdamwTensor {
  float *parameter, *gradient, *first, *second;
  void *rounded;
  int64_t size;
  /** Which of the factors are its own. */
  int64_t row;
};

/**
 * Buffers: for each tensor param, grad, m, v, all float32 of one size; then factors [rows, 3] (shrink, stepSize, correction), and
 * gradScale [1]: NaN says that nothing is to change; then, of some tensors, a copy in bf16 that is to follow the param.
 * Numbers: tensors, beta1, beta2, eps, then for each tensor its row of factors, and for each copy the number of its tensor.
 */
class AdamwArguments {
 public:
  float beta1, beta2, eps;
  const float *factors = nullptr, *gradScale = nullptr;
  std::vector<AdamwTensor> tensors;

  explicit AdamwArguments(Call &call) : beta1(call.real(1)), beta2(call.real(2)), eps(call.real(3)) {
    const int64_t count = call.dimension(0), copies = call.buffers() - 4 * count - 2;
    if (count > call.buffers() || copies < 0 || call.numbers() != 4 + count + copies) {
      problem_ = "adamw takes four buffers and one number a tensor, then two buffers, then a buffer and a number a copy";
      return;
    }
    const int behind = static_cast<int>(4 * count);
    const int64_t rows = call.size(behind) / 3;
    factors = call.floats(behind, 3 * rows), gradScale = call.floats(behind + 1, 1);
    for (int t = 0; t < count; t++) addTensor(call, t, rows);
    for (int i = 0; i < copies; i++) addCopy(call, behind + 2 + i, call.dimension(static_cast<int>(4 + count) + i));
  }

  const char *problem() const { return problem_; }

 private:
  void addTensor(Call &call, int t, int64_t rows) {
    const int64_t size = call.size(4 * t), row = call.dimension(4 + t);
    if (row >= rows) problem_ = "adamw: a tensor's row of factors is not there";
    float *data[4];
    for (int i = 0; i < 4; i++) data[i] = call.floats(4 * t + i, size);
    tensors.push_back({data[0], data[1], data[2], data[3], nullptr, size, row});
  }
  void addCopy(Call &call, int buffer, int64_t tensor) {
    if (tensor >= static_cast<int64_t>(tensors.size())) problem_ = "adamw: a copy's tensor is not there";
    else if (call.type(buffer) != VWN_BF16) problem_ = "adamw: a copy must be bf16";
    else tensors[static_cast<size_t>(tensor)].rounded = call.reals(buffer, {tensors[static_cast<size_t>(tensor)].size});
  }

  const char *problem_ = nullptr;
};

}  // namespace VWN_ISA
}  // namespace vwn
