/** Products of x with one weight or several, and their gradients, as one set of tasks. */
#include <vector>

#include "call.h"
#include "gemm.h"
#include "kernels.h"
#include "vwn_arguments.h"

namespace vwn {
namespace VWN_ISA {
namespace {

const char *run(const std::vector<Product> &products) {
  const bool done = groupedGemm(products.data(), static_cast<int64_t>(products.size()));
  return done ? nullptr : "out of memory: no room for packed matrices";
}

Operand operand(const Reals &matrix, int64_t width, bool transposed) { return {matrix.data, matrix.type, width, transposed}; }

}  // namespace

/** See LinearsArguments. */
const char *linears(const vwn_call *raw) {
  Call call(raw, 3, 4);
  if (call.problem()) return call.problem();
  const LinearsArguments in(call);
  if (in.problem()) return in.problem();
  std::vector<Product> products;
  for (int i = 0; i < in.weights; i++) {
    const int64_t out = in.out(call, i);
    const Reals y = in.y(call, i);
    const Operand x = operand(in.x, in.width, false), weight = operand(in.weight(call, i), in.width, true);
    products.push_back({in.rows, out, in.width, x, weight, y.data, y.type, out, false, in.halves});
  }
  return call.problem() ? call.problem() : run(products);
}

/** See LinearsGradArguments. */
const char *linears_grad(const vwn_call *raw) {
  Call call(raw, 5, 4);
  if (call.problem()) return call.problem();
  const LinearsGradArguments in(call);
  if (in.problem()) return in.problem();
  const Operand x = operand(in.x, in.width, false);
  std::vector<Term> terms;
  std::vector<Product> products;
  for (int i = 0; i < in.weights; i++) {
    const int64_t out = in.out(call, i);
    const Reals dy = in.dy(call, i);
    terms.push_back({out, operand(dy, out, false), operand(in.weight(call, i), in.width, false)});
    products.push_back(
        {out, in.width, in.rows, operand(dy, out, true), x, in.dWeight(call, i), VWN_F32, in.width, false, in.halves});
  }
  const Term &first = terms[0];
  products.push_back({in.rows, in.width, first.K, first.a, first.b, in.dx.data, in.dx.type, in.width, false, in.halves,
                      terms.data() + 1, in.weights - 1});
  return call.problem() ? call.problem() : run(products);
}

}  // namespace VWN_ISA
}  // namespace vwn
