/** The threads of one block as fibres: each has a stack of its own, and hands over to the next at a barrier. */
#pragma once
#include <functional>
#include <vector>

#include "cuda.h"

namespace vwn {
namespace emulation {

/**
 * Runs `body` once in each of the block's threads. @throws std::runtime_error where some wait at a barrier, or for a
 * shuffle, that others have left out, and what `body` throws.
 */
void runBlock(const std::function<void()> &body);

}  // namespace emulation
}  // namespace vwn
