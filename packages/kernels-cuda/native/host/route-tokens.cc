/** Which expert gets which token; kernels in device/route-tokens.cu. Nothing is read back. */
#include <type_traits>

#include "../problem.h"
#include "../runtime.h"
#include "functions.h"
#include "vwn_arguments.h"

namespace vwn {
namespace VWN_ISA {

/** See RouteTokensArguments. */
const char *route_tokens(const vwn_call *raw) {
  Call call(raw, 7, 3);
  const RouteTokensArguments in(call);
  if (call.problem()) return call.problem();
  if (const char *problem = in.problem()) return problem;
  int32_t *chosen = static_cast<int32_t *>(scratch(Slot::rows, in.tokens * in.k * 4 + 4));
  withFloats(in.logits.data, in.logits.type, [&](auto *logits) {
    using T = std::remove_pointer_t<decltype(logits)>;
    launch(forType("chooseExperts", in.logits.type), {blocksFor(in.tokens)}, 256, 0, static_cast<const T *>(logits),
           in.probabilities, chosen, in.tokens, in.experts, in.k);
  });
  launch("sortRows_f32", {in.experts}, 256, 32 * 8, static_cast<const float *>(in.probabilities),
         static_cast<const int32_t *>(chosen), in.weights, in.tokenOf, in.rows, in.offsets, in.shares, in.tokens, in.experts,
         in.k);
  return nullptr;
}

/** See RouteTokensGradArguments. */
const char *route_tokens_grad(const vwn_call *raw) {
  Call call(raw, 6, 3);
  const RouteTokensGradArguments in(call);
  if (call.problem()) return call.problem();
  if (const char *problem = in.problem()) return problem;
  withFloats(in.dLogits.data, in.dLogits.type, [&](auto *dLogits) {
    launch(forType("routeGrad", in.dLogits.type), {blocksFor(in.tokens < in.experts ? in.experts : in.tokens)}, 256, 0,
           in.probabilities, in.rows, in.offsets, in.dProbabilities, in.dWeights, dLogits, in.tokens, in.experts, in.k,
           problemFlag(Problem::routedRows));
  });
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
