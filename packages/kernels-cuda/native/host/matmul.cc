/** C = A·B for one or many matrices, any transposition, float32 or bf16 storage; see gemm.cc. */
#include "functions.h"
#include "gemm.h"
#include "vwn_arguments.h"

namespace vwn {
namespace VWN_ISA {

/** See MatmulArguments. */
const char *matmul(const vwn_call *raw) {
  Call call(raw, 3, 9);
  const MatmulArguments in(call);
  if (call.problem()) return call.problem();
  if (const char *problem = in.problem()) return problem;
  Product p = product(in.M, in.N, in.K, matrix(in.a, in.transposeA ? in.M : in.K, in.transposeA, in.strideA),
                      matrix(in.b, in.transposeB ? in.K : in.N, in.transposeB, in.strideB), in.c, in.halves);
  p.batch = in.batch;
  p.strideC = in.M * in.N;
  gemm(p);
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
