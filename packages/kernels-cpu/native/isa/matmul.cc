/** C = A·B for one or many matrices, any transposition, float32 or bf16 storage. */
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
  return done ? nullptr : noRoomToPack;
}

}  // namespace VWN_ISA
}  // namespace vwn
