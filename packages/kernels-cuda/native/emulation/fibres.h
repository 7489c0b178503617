/** The threads of a cluster's blocks, mostly one, as fibres: each has a stack of its own, and hands over to the next at a barrier. */
#pragma once
#include <functional>
#include <string>

#include "cuda.h"

namespace vwn {
namespace emulation {

/** Blocks of a cluster have their shared memory so many bytes apart: more than any has. */
constexpr size_t sharedApart = size_t{256} << 10;
constexpr unsigned mostOfCluster = 2;

/**
 * Runs `body` once in each thread of the running block and those that follow it in its cluster. @throws std::runtime_error where
 * some wait at a barrier, or for a shuffle, that others have left out, and what `body` throws.
 */
void runCluster(const std::function<void()> &body);

/** How far the running thread has come with barriers of its cluster. */
struct ClusterBarriers {
  uint64_t passed, arrivals, waits;
};
ClusterBarriers clusterBarriers();

/** Work of the running thread that is done when its group is waited for, and not before. */
void doLater(std::function<void()> work);
void commitWorks();
void awaitWorks(int pending);
/** How many clusters have been begun. */
uint64_t clustersBegun();

/** Ends the running thread and its cluster: runCluster throws std::runtime_error. From where an exception cannot pass. */
[[noreturn]] void stop(const std::string &why);

}  // namespace emulation
}  // namespace vwn
