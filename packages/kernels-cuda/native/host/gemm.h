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

/** C [M, N] = A·B, rows of C together; `accumulate` (float32 C): C += A·B. */
inline Product product(int64_t M, int64_t N, int64_t K, const Matrix &a, const Matrix &b, const Reals &c, bool halves,
                       bool accumulate = false) {
  Product p{M, N, 1, accumulate, halves, c.type, c.data, 1, 0, {}};
  p.each[0] = {K, a, b};
  return p;
}

inline void gemm(const Product &p) {
  constexpr int64_t tile = 64, slices = 2 * 16 * (tile + 1) * 4;
  const int64_t tiles = (p.M + tile - 1) / tile * ((p.N + tile - 1) / tile);
  launch("matmul_f32", {tiles, p.batch < 65535 ? p.batch : 65535}, 256, slices, p);
}

}  // namespace VWN_ISA
}  // namespace vwn
