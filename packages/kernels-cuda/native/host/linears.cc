/** Products of x with one weight or several, and their gradients. */
#include "functions.h"
#include "gemm.h"
#include "vwn_arguments.h"

namespace vwn {
namespace VWN_ISA {

/** See LinearsArguments. */
const char *linears(const vwn_call *raw) {
  Call call(raw, 3, 4);
  if (call.problem()) return call.problem();
  const LinearsArguments in(call);
  if (in.problem()) return in.problem();
  // All are checked before the first is multiplied.
  for (int i = 0; i < in.weights; i++) (void)in.weight(call, i), (void)in.y(call, i);
  if (call.problem()) return call.problem();
  const Matrix x = matrix(in.x, in.width, false);
  for (int i = 0; i < in.weights; i++)
    gemm(product(in.rows, in.out(call, i), in.width, x, matrix(in.weight(call, i), in.width, true), in.y(call, i), in.halves));
  return nullptr;
}

/** See LinearsGradArguments. */
const char *linears_grad(const vwn_call *raw) {
  Call call(raw, 5, 4);
  if (call.problem()) return call.problem();
  const LinearsGradArguments in(call);
  if (in.problem()) return in.problem();
  if (in.weights > maximumTerms) return "linears_grad: at most 8 weights: call it with fewer at once";
  Product toInput = product(in.rows, in.width, 0, {}, {}, in.dx, in.halves);
  toInput.terms = in.weights;
  for (int i = 0; i < in.weights; i++) {
    const int64_t out = in.out(call, i);
    toInput.each[i] = {out, matrix(in.dy(call, i), out, false), matrix(in.weight(call, i), in.width, false)};
    (void)in.dWeight(call, i);
  }
  if (call.problem()) return call.problem();
  gemm(toInput);
  const Matrix x = matrix(in.x, in.width, false);
  for (int i = 0; i < in.weights; i++) {
    const int64_t out = in.out(call, i);
    const Reals dWeight{in.dWeight(call, i), VWN_F32};
    gemm(product(out, in.width, in.rows, matrix(in.dy(call, i), out, true), x, dWeight, in.halves));
  }
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
