/** Products of rows by groups as arguments of kernels, which may be 4 KiB together. */
#pragma once
#include "product.h"

namespace vwn {
namespace cuda {

constexpr int weightsOfLaunch = 256;

/** Rows of group e begin at offsets[e] and end before offsets[e + 1]; a launch takes `count` groups from `first` on. */
struct Groups {
  const int32_t *offsets;
  int64_t rows;
  int32_t all, first, count;
  int32_t *problem; /* set to 1 where offsets do not rise from 0 to `rows` */
};

/** C [rows, N] = Σ over terms of A_t [rows, K_t] · B_{t, e}, with weights [N, K_t] if `transposed`, else [K_t, N]. */
struct GroupedRows {
  Groups groups;
  int64_t N;
  int32_t terms, transposed, halves, type; /* type of C */
  void *c;
  int64_t K[maximumTerms];
  Matrix a[maximumTerms];
  const void *weights[weightsOfLaunch]; /* [terms][count] */
  uint8_t types[weightsOfLaunch];
};

/** C_e [M, N] = A_eᵀ B_e over the rows of group e, A [rows, M] and B [rows, N]. */
struct GroupedColumns {
  Groups groups;
  int64_t M, N;
  int32_t halves;
  Matrix a, b;
  float *c[weightsOfLaunch];
};

}  // namespace cuda
}  // namespace vwn
