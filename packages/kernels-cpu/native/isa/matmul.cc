/** C = A·B for one or many matrices, any transposition, float32 or bf16 storage. */
#include <vector>

#include "call.h"
#include "gemm.h"
#include "kernels.h"
#include "vwn_arguments.h"

namespace vwn {
namespace VWN_ISA {

/** See MatmulArguments. */
const char *matmul(const vwn_call *raw) {
  Call call(raw, 3, 9);
  const MatmulArguments in(call);
  if (call.problem()) return call.problem();
  if (const char *problem = in.problem()) return problem;
  const Operand a{in.a.data, in.a.type, in.transposeA ? in.M : in.K, in.transposeA};
  const Operand b{in.b.data, in.b.type, in.transposeB ? in.K : in.N, in.transposeB};
  const Product product{in.M, in.N, in.K, a, b, in.c.data, in.c.type, in.N, false, in.halves};
  const bool done = batchedGemm(product, {in.batch, in.strideA, in.strideB, in.M * in.N});
  return done ? nullptr : "out of memory: no room for packed matrices";
}

/** C = Σ A_i·B_i, such as the gradient of what several weights multiplied; see MatmulSumArguments. */
const char *matmul_sum(const vwn_call *raw) {
  Call call(raw, 3, 4);
  if (call.problem()) return call.problem();
  const MatmulSumArguments in(call);
  if (const char *problem = in.problem(call)) return problem;
  std::vector<Term> all;
  for (int i = 0; i < in.terms; i++) {
    const auto [K, a, b] = in.term(call, i);
    all.push_back({K, {a.data, a.type, K, false}, {b.data, b.type, in.N, false}});
  }
  if (call.problem()) return call.problem();
  Product product{in.M, in.N, all[0].K, all[0].a, all[0].b, in.c.data, in.c.type, in.N, false, in.halves};
  product.others = all.data() + 1;
  product.otherCount = in.terms - 1;
  return gemm(product) ? nullptr : "out of memory: no room for packed matrices";
}

}  // namespace VWN_ISA
}  // namespace vwn
