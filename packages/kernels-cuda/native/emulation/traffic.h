/**
 * What kernels ask of memory, of a watched build, counted as a GPU serves it: a warp's threads together. Only where
 * VWN_WATCH_REPORT names a file, which is written when the process ends.
 */
#pragma once
#include <cstddef>
#include <string>

namespace vwn {
namespace emulation {
namespace traffic {

void beginLaunch(const std::string &kernel);
/** Threads of the cluster that was running have done all that they do. */
void endCluster();
/** An access of the running thread, at `place` of the device's memory or of what the block shares. */
void note(size_t place, size_t bytes, bool isWrite, bool isShared, const void *where);
/** A byte of the device's memory that the launch has not read before writing it, or not written, until now. */
void countFirst(bool isOfDevice, bool isWrite);

}  // namespace traffic
}  // namespace emulation
}  // namespace vwn
