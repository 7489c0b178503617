/** Every function of one instruction set, as table.cc lists it. Buffers and numbers stand at each definition. */
#pragma once
#include "vwn_kernels.h"

namespace vwn {
namespace VWN_ISA {

#define VWN_FUNCTIONS(each)                                                                        \
  each(matmul) each(matmul_sum) each(convert) each(fill) each(binary) each(unary) each(sum_axis) each(copy_strided)   \
  each(swiglu) each(swiglu_grad) each(rms_norm) each(rms_norm_grad) each(rotary_embedding)         \
  each(causal_attention) each(causal_attention_grad)                                               \
  each(embedding_lookup) each(embedding_lookup_grad)                                               \
  each(linear_cross_entropy) each(linear_cross_entropy_grad)                                       \
  each(adamw) each(global_norm) each(connection_step) each(connection_step_grad) each(measure_peaks)

#define VWN_DECLARE(name) const char *name(const vwn_call *call);
VWN_FUNCTIONS(VWN_DECLARE)
#undef VWN_DECLARE

}  // namespace VWN_ISA
}  // namespace vwn
