/** Products of x with one weight or several, and their gradients, as one set of tasks. */
#include "call.h"
#include "kernels.h"
#include "linear-products.h"

namespace vwn {
namespace VWN_ISA {

/** See LinearsArguments. */
const char *linears(const vwn_call *raw) {
  Call call(raw, 3, 4);
  if (call.problem()) return call.problem();
  const LinearsArguments in(call);
  if (in.problem()) return in.problem();
  const LinearRows all{0, in.rows, in.width, in.halves};
  std::vector<Product> products;
  for (int i = 0; i < in.weights; i++)
    products.push_back(all.forward(in.x, in.weight(call, i), in.y(call, i), in.out(call, i)));
  return call.problem() ? call.problem() : runProducts(products);
}

/** See LinearsGradArguments. */
const char *linears_grad(const vwn_call *raw) {
  Call call(raw, 5, 4);
  if (call.problem()) return call.problem();
  const LinearsGradArguments in(call);
  if (in.problem()) return in.problem();
  const LinearRows all{0, in.rows, in.width, in.halves};
  std::vector<Term> terms;
  std::vector<Product> products;
  for (int i = 0; i < in.weights; i++) {
    const int64_t out = in.out(call, i);
    terms.push_back(all.inputTerm(in.dy(call, i), in.weight(call, i), out));
    products.push_back(all.weightGradient(in.dy(call, i), in.x, in.dWeight(call, i), out));
  }
  products.push_back(all.inputGradient(terms.data(), in.weights, in.dx));
  return call.problem() ? call.problem() : runProducts(products);
}

}  // namespace VWN_ISA
}  // namespace vwn
