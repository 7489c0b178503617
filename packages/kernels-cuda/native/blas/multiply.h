/** One product of matrices, or a batch of them, by cuBLASLt. */
#pragma once
#include "../device/product.h"

namespace vwn {
namespace cuda {

/**
 * C (+)= A·B of one term, operands of one type, not empty. False where cuBLASLt has no algorithm for these types, sizes and
 * alignments: nothing has been asked of the device then. @throws std::runtime_error with cuBLASLt's status
 */
bool multiply(const Product &p);

}  // namespace cuda
}  // namespace vwn
