/** Products of the rows of each group with weights of its own, such as the experts of a mixture; and their gradients. */
#include "call.h"
#include "kernels.h"
#include "linear-products.h"

namespace vwn {
namespace VWN_ISA {
namespace {

const char *checkOffsets(Call &call, const GroupedArguments &in) {
  bool rises = in.offsets[0] == 0 && in.offsets[in.groups] == in.rows;
  for (int64_t e = 0; e < in.groups; e++) rises = rises && in.offsets[e] <= in.offsets[e + 1];
  if (!rises)
    call.fail("offsets do not share out the rows of x, and must be numbers that rise from 0 to %lld; sort rows by group: "
              "offsets[e] is the first row of group e, the last offset their number",
              static_cast<long long>(in.rows));
  return call.problem();
}

LinearRows rowsOfGroup(const GroupedArguments &in, int64_t e) {
  return {in.offsets[e], in.offsets[e + 1] - in.offsets[e], in.width, in.halves};
}

/** dx = Σ over sets of dy_s W_s: one sum of products for each group. `terms` has room for those of all groups. */
void addProductsOfInput(Call &call, const GroupedLinearGradArguments &in, std::vector<Term> &terms,
                        std::vector<Product> &products) {
  for (int64_t e = 0; e < in.groups; e++) {
    const LinearRows rows = rowsOfGroup(in, e);
    const size_t first = terms.size();
    for (int64_t s = 0; s < in.sets; s++) terms.push_back(rows.inputTerm(in.dy(call, s), in.weight(call, s, e), in.out(call, s)));
    products.push_back(rows.inputGradient(&terms[first], in.sets, in.dx));
  }
}

/** dW = dyᵀ x over the rows of the group; zero where it has none. */
void addProductsOfWeights(Call &call, const GroupedLinearGradArguments &in, std::vector<Product> &products) {
  for (int64_t s = 0; s < in.sets; s++)
    for (int64_t e = 0; e < in.groups; e++)
      products.push_back(rowsOfGroup(in, e).weightGradient(in.dy(call, s), in.x, in.dWeight(call, s, e), in.out(call, s)));
}

}  // namespace

/** See GroupedLinearArguments. */
const char *grouped_linear(const vwn_call *raw) {
  Call call(raw, 4, 5);
  if (call.problem()) return call.problem();
  const GroupedLinearArguments in(call);
  if (in.problem()) return in.problem();
  if (call.problem()) return call.problem();
  if (const char *problem = checkOffsets(call, in)) return problem;
  std::vector<Product> products;
  for (int64_t s = 0; s < in.sets; s++)
    for (int64_t e = 0; e < in.groups; e++)
      products.push_back(rowsOfGroup(in, e).forward(in.x, in.weight(call, s, e), in.y(call, s), in.out(call, s)));
  return call.problem() ? call.problem() : runProducts(products);
}

/** See GroupedLinearGradArguments. */
const char *grouped_linear_grad(const vwn_call *raw) {
  Call call(raw, 6, 5);
  if (call.problem()) return call.problem();
  const GroupedLinearGradArguments in(call);
  if (in.problem()) return in.problem();
  if (call.problem()) return call.problem();
  if (const char *problem = checkOffsets(call, in)) return problem;
  std::vector<Term> terms;
  std::vector<Product> products;
  terms.reserve(static_cast<size_t>(in.weights()));
  addProductsOfInput(call, in, terms, products);
  addProductsOfWeights(call, in, products);
  return call.problem() ? call.problem() : runProducts(products);
}

}  // namespace VWN_ISA
}  // namespace vwn
