#include "functions.h"
namespace vwn {
namespace VWN_ISA {
#define STUB(name) const char *name(const vwn_call *) { return #name " is not written yet"; }
STUB(matmul) STUB(matmul_sum)

STUB(swiglu) STUB(swiglu_grad) STUB(rms_norm) STUB(rms_norm_grad) STUB(rotary_embedding)
STUB(causal_attention) STUB(causal_attention_grad) STUB(embedding_lookup) STUB(embedding_lookup_grad)
STUB(linear_cross_entropy) STUB(linear_cross_entropy_grad) STUB(adamw) STUB(global_norm)
STUB(connection_step) STUB(connection_step_grad)
}
}
