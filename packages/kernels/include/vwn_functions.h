/** The functions that every library brings. Buffers and numbers of each stand at its callers in src/table/. */
#pragma once
#include "vwn_kernels.h"

#define VWN_FUNCTIONS(each)                                                                                         \
  each(matmul) each(linears) each(linears_grad) each(convert) each(fill) each(binary) each(unary) each(sum_axis)    \
  each(copy_strided) each(swiglu) each(swiglu_grad) each(rms_norm) each(rms_norm_grad)                              \
  each(residual_step) each(residual_step_grad) each(rotary_embedding)                                               \
  each(causal_attention) each(causal_attention_grad) each(embedding_lookup) each(embedding_lookup_grad)             \
  each(linear_cross_entropy) each(linear_cross_entropy_grad) each(mean_cross_entropy)                               \
  each(adamw) each(global_norm) each(clip_scale) each(add_pairs)                                                    \
  each(connection_step) each(connection_step_grad)                                                                  \
  each(grouped_linear) each(grouped_linear_grad) each(route_tokens) each(route_tokens_grad)

#define VWN_DECLARE(name) const char *name(const vwn_call *call);
#define VWN_LIST(name) {#name, name},
