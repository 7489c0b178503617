/** The threads of one block as fibres: each has a stack of its own, and hands over to the next at a barrier. */
#pragma once
#include <functional>
#include <string>

#include "cuda.h"

namespace vwn {
namespace emulation {

/**
 * Runs `body` once in each of the block's threads. @throws std::runtime_error where some wait at a barrier, or for a
 * shuffle, that others have left out, and what `body` throws.
 */
void runBlock(const std::function<void()> &body);

/** Work of the running thread that is done when its group is waited for, and not before. */
void doLater(std::function<void()> work);
void commitWorks();
void awaitWorks(int pending);
/** How many blocks have been begun. */
uint64_t blocksBegun();

/** Ends the running thread and its block: runBlock throws std::runtime_error. From where an exception cannot pass. */
[[noreturn]] void stop(const std::string &why);

}  // namespace emulation
}  // namespace vwn
