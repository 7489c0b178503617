/** Products of matrices that lie on the device, for the functions that need one. */
#pragma once
#include "../device/product.h"
#include "../runtime.h"
#include "vwn_arguments.h"

namespace vwn {
namespace VWN_ISA {

inline Matrix matrix(const Reals &reals, int64_t ld, bool transposed, int64_t stride = 0) {
  return {reals.data, reals.type, transposed ? 1 : 0, ld, stride};
}

/** C [M, N] = A·B, rows of C together; `accumulate`: C += A·B. */
inline Product product(int64_t M, int64_t N, int64_t K, const Matrix &a, const Matrix &b, const Reals &c, bool halves,
                       bool accumulate = false) {
  Product p{M, N, 1, accumulate, halves, c.type, c.data, 1, 0, {}};
  p.each[0] = {K, a, b};
  return p;
}

/** By cuBLASLt where it is and has an algorithm for it, else by own kernels. */
void gemm(const Product &p);

/**
 * The matrix rounded to bf16 if products of it are to be and it is not yet, as many `rows` as lie in memory: for what
 * several products read. It stays until the slot is used again.
 */
Matrix roundedFor(bool halves, const Matrix &m, int64_t rows, Slot slot);

}  // namespace VWN_ISA
}  // namespace vwn
