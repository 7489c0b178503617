/** A sum of matrix products as a kernel's argument. */
#pragma once
#include <cstdint>

#include "vwn_kernels.h"

namespace vwn {
namespace cuda {

/** A logical matrix of float32 or bf16; `transposed`: element (i, j) stands at [j·ld + i]. */
struct Matrix {
  const void *data;
  int32_t type; /* VWN_F32 or VWN_BF16 */
  int32_t transposed;
  int64_t ld, stride; /* from row to row, and from one matrix of a batch to the next; 0 repeats it */
};

struct Term {
  int64_t K;
  Matrix a, b; /* [M, K], [K, N] */
};

constexpr int maximumTerms = 8;

/** C = Σ A·B over the terms, [M, N], for each of a batch. */
struct Product {
  int64_t M, N;
  int32_t terms;
  int32_t accumulate; /* C += */
  int32_t halves;     /* operands rounded to bf16, sums in float32 */
  int32_t type;       /* of C */
  void *c;
  int64_t batch, strideC;
  Term each[maximumTerms];
};

}  // namespace cuda
}  // namespace vwn
