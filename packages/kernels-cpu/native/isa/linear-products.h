/** The products that linear layers are made of, y = x Wᵀ and its gradients, over some of the rows. */
#pragma once
#include <vector>

#include "gemm.h"
#include "vwn_arguments.h"

namespace vwn {
namespace VWN_ISA {

/** Rows [from, from + count) of x [R, width] and of y [R, out]. */
struct LinearRows {
  int64_t from, count, width;
  bool halves;

  Product forward(const Reals &x, const Reals &weight, const Reals &y, int64_t out) const {
    return {count, out, width, rowsOf(x, width, false), wholeOf(weight, true), placeOf(y, out), y.type, out, false, halves};
  }
  Product weightGradient(const Reals &dy, const Reals &x, float *dWeight, int64_t out) const {
    return {out, width, count, rowsOf(dy, out, true), rowsOf(x, width, false), dWeight, VWN_F32, width, false, halves};
  }
  /** What one weight gives to dx. */
  Term inputTerm(const Reals &dy, const Reals &weight, int64_t out) const {
    return {out, rowsOf(dy, out, false), wholeOf(weight, false)};
  }
  /** dx of all its terms; they must stay where they are until the product is made. */
  Product inputGradient(const Term *terms, int64_t termCount, const Reals &dx) const {
    return {count,   width, terms->K, terms->a, terms->b,  placeOf(dx, width),
            dx.type, width, false,    halves,   terms + 1, termCount - 1};
  }

 private:
  void *placeOf(const Reals &matrix, int64_t columns) const {
    return static_cast<char *>(matrix.data) + from * columns * (matrix.type == VWN_BF16 ? 2 : 4);
  }
  Operand rowsOf(const Reals &matrix, int64_t columns, bool transposed) const {
    return {placeOf(matrix, columns), matrix.type, columns, transposed};
  }
  Operand wholeOf(const Reals &weight, bool transposed) const { return {weight.data, weight.type, width, transposed}; }
};

/** All products as one set of tasks; returns the kernel's result. */
inline const char *runProducts(const std::vector<Product> &products) {
  return groupedGemm(products.data(), static_cast<int64_t>(products.size())) ? nullptr : noRoomToPack;
}

}  // namespace VWN_ISA
}  // namespace vwn
