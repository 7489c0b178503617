/** Products of the rows of each group with weights of its own, such as the experts of a mixture; and their gradients. */
#include <vector>

#include "call.h"
#include "gemm.h"
#include "kernels.h"
#include "vwn_arguments.h"

namespace vwn {
namespace VWN_ISA {
namespace {

constexpr const char *noRoom = "out of memory: no room for packed matrices";

const char *checkOffsets(const GroupedArguments &in) {
  bool rises = in.offsets[0] == 0 && in.offsets[in.groups] == in.rows;
  for (int64_t e = 0; e < in.groups; e++) rises = rises && in.offsets[e] <= in.offsets[e + 1];
  return rises ? nullptr : "grouped_linear: offsets must rise from 0 to the number of rows";
}

/** Rows [from, from + count) of a group. */
struct Group {
  int64_t from, count;
};
Group groupOf(const GroupedArguments &in, int64_t e) { return {in.offsets[e], in.offsets[e + 1] - in.offsets[e]}; }

void *rowOf(const Reals &matrix, int64_t row, int64_t width) {
  return static_cast<char *>(matrix.data) + row * width * (matrix.type == VWN_BF16 ? 2 : 4);
}
Operand operand(const Reals &matrix, int64_t row, int64_t width, bool transposed) {
  return {rowOf(matrix, row, width), matrix.type, width, transposed};
}

const char *run(const std::vector<Product> &products) {
  return groupedGemm(products.data(), static_cast<int64_t>(products.size())) ? nullptr : noRoom;
}

/** dx = Σ over sets of dy_s W_s: one sum of products for each group. `terms` has room for those of all groups. */
void addProductsOfInput(Call &call, const GroupedLinearGradArguments &in, std::vector<Term> &terms,
                        std::vector<Product> &products) {
  for (int64_t e = 0; e < in.groups; e++) {
    const auto [from, count] = groupOf(in, e);
    const size_t first = terms.size();
    for (int64_t s = 0; s < in.sets; s++) {
      const int64_t out = in.out(call, s);
      terms.push_back({out, operand(in.dy(call, s), from, out, false), operand(in.weight(call, s, e), 0, in.width, false)});
    }
    const Term &one = terms[first];
    void *dx = rowOf(in.dx, from, in.width);
    Product product{count, in.width, one.K, one.a, one.b, dx, in.dx.type, in.width, false, in.halves};
    product.others = &one + 1;
    product.otherCount = in.sets - 1;
    products.push_back(product);
  }
}

/** dW = dyᵀ x over the rows of the group; zero where it has none. */
void addProductsOfWeights(Call &call, const GroupedLinearGradArguments &in, std::vector<Product> &products) {
  for (int64_t s = 0; s < in.sets; s++)
    for (int64_t e = 0; e < in.groups; e++) {
      const int64_t out = in.out(call, s);
      const auto [from, count] = groupOf(in, e);
      const Operand dy = operand(in.dy(call, s), from, out, true), x = operand(in.x, from, in.width, false);
      float *dWeight = in.dWeight(call, s, e);
      products.push_back({out, in.width, count, dy, x, dWeight, VWN_F32, in.width, false, in.halves});
    }
}

}  // namespace

/** See GroupedLinearArguments. */
const char *grouped_linear(const vwn_call *raw) {
  Call call(raw, 4, 5);
  if (call.problem()) return call.problem();
  const GroupedLinearArguments in(call);
  if (in.problem()) return in.problem();
  if (call.problem()) return call.problem();
  if (const char *problem = checkOffsets(in)) return problem;
  std::vector<Product> products;
  for (int64_t s = 0; s < in.sets; s++)
    for (int64_t e = 0; e < in.groups; e++) {
      const int64_t out = in.out(call, s);
      const auto [from, count] = groupOf(in, e);
      const Reals y = in.y(call, s);
      const Operand x = operand(in.x, from, in.width, false), weight = operand(in.weight(call, s, e), 0, in.width, true);
      products.push_back({count, out, in.width, x, weight, rowOf(y, from, out), y.type, out, false, in.halves});
    }
  return call.problem() ? call.problem() : run(products);
}

/** See GroupedLinearGradArguments. */
const char *grouped_linear_grad(const vwn_call *raw) {
  Call call(raw, 6, 5);
  if (call.problem()) return call.problem();
  const GroupedLinearGradArguments in(call);
  if (in.problem()) return in.problem();
  if (call.problem()) return call.problem();
  if (const char *problem = checkOffsets(in)) return problem;
  std::vector<Term> terms;
  std::vector<Product> products;
  terms.reserve(static_cast<size_t>(in.weights()));
  addProductsOfInput(call, in, terms, products);
  addProductsOfWeights(call, in, products);
  return call.problem() ? call.problem() : run(products);
}

}  // namespace VWN_ISA
}  // namespace vwn
