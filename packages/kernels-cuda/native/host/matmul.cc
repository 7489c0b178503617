/** C = A·B for one or many matrices, any transposition, float32 or bf16 storage; kernels in device/matmul.cu. */
#include "functions.h"
#include "gemm.h"
#include "vwn_call.h"

namespace vwn {
namespace VWN_ISA {

/**
 * Buffers: a [batchA·M·K], b [batchB·K·N], c [batch·M·N]; strides of 0 repeat one matrix for the whole batch.
 * Numbers: M, N, K, transposeA, transposeB, halves, batch, strideA, strideB.
 */
const char *matmul(const vwn_call *raw) {
  Call call(raw, 3, 9);
  const int64_t M = call.dimension(0), N = call.dimension(1), K = call.dimension(2), batch = call.dimension(6);
  const bool ta = call.integer(3) != 0, tb = call.integer(4) != 0;
  const int64_t strideA = call.integer(7), strideB = call.integer(8);
  const void *a = call.reals(0, {strideA ? batch : 1, M, K});
  const void *b = call.reals(1, {strideB ? batch : 1, K, N});
  void *c = call.reals(2, {batch, M, N});
  if (call.problem()) return call.problem();
  if ((strideA && strideA != M * K) || (strideB && strideB != K * N)) return "matmul: matrices of a batch must lie one after the other";
  Product p = product(M, N, K, matrix(a, call.type(0), ta ? M : K, ta, strideA),
                      matrix(b, call.type(1), tb ? K : N, tb, strideB), c, call.type(2), call.integer(5) != 0);
  p.batch = batch;
  p.strideC = M * N;
  gemm(p);
  return nullptr;
}

/**
 * C = Σ A_i·B_i, such as the gradient of what several weights multiplied.
 * Buffers: a_0 [M·K_0], b_0 [K_0·N], a_1, b_1, …, c [M·N]. Numbers: M, N, halves, K_0, K_1, ….
 */
const char *matmul_sum(const vwn_call *raw) {
  Call call(raw, 3, 4);
  if (call.problem()) return call.problem();
  const int64_t M = call.dimension(0), N = call.dimension(1);
  const int terms = (call.buffers() - 1) / 2;
  if (call.buffers() != 2 * terms + 1 || call.numbers() < 3 + terms) return "matmul_sum: two buffers and one number a term are needed";
  if (terms > maximumTerms) return "matmul_sum: at most 8 terms";
  Product p = product(M, N, 0, {}, {}, call.reals(2 * terms, {M, N}), call.type(2 * terms), call.integer(2) != 0);
  p.terms = terms;
  for (int i = 0; i < terms; i++) {
    const int64_t K = call.dimension(3 + i);
    p.each[i] = {K, matrix(call.reals(2 * i, {M, K}), call.type(2 * i), K, false),
                 matrix(call.reals(2 * i + 1, {K, N}), call.type(2 * i + 1), N, false)};
  }
  if (call.problem()) return call.problem();
  gemm(p);
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
