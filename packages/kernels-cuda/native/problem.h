/**
 * What is wrong with values that only kernels see. Kernels set a flag; whoever next reads a tensor back, and so waits for
 * them anyway, is told.
 */
#pragma once
#include <cstdint>

namespace vwn {
namespace cuda {

enum class Problem { tokenId, target, offsets, routedRows, turn, count };

/** A flag of the device, for a kernel to set to 1. */
int32_t *problemFlag(Problem problem);

/** @throws std::runtime_error that says what a kernel has found since the last call; no flag is set afterwards */
void throwProblems();

}  // namespace cuda
}  // namespace vwn
