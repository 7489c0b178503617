/**
 * Scratch memory of the library: grow-only blocks, one for all threads or one for each. Reserved before a parallel
 * region, so that no task has to handle a failed allocation.
 */
#pragma once
#include <cstdint>

namespace vwn {

/** Uses that may be live at once have different slots. */
enum class Slot { packedB, packedA, output, partial, lanes, count };

/** 64-byte aligned; nullptr when the system has no memory left. The content is undefined. */
void *sharedScratch(Slot slot, int64_t bytes);

/** As {@link sharedScratch}, `bytes` for each thread: thread t's part begins at t·stride of the result. */
struct ThreadScratch {
  char *base;
  int64_t stride;
  template <class T>
  T *of(int thread) const {
    return reinterpret_cast<T *>(base + thread * stride);
  }
  explicit operator bool() const { return base != nullptr; }
};
ThreadScratch threadScratch(Slot slot, int64_t bytesEach);

/** Bytes that all scratch blocks hold now. */
int64_t scratchBytes();

/** What a kernel returns when scratch cannot be had. */
constexpr const char *outOfMemory = "out of memory: no room for the kernel's scratch; use a smaller batch";

}  // namespace vwn
