/** How many blocks a multiprocessor's shared memory holds. */
#pragma once
#include <cstdint>

namespace vwn {
namespace cuda {

/** What a multiprocessor keeps of its shared memory for each block beside what that asked for. */
constexpr int64_t sharedBytesKept = 1 << 10;

/** Blocks of so many bytes that a multiprocessor holds at once; `sharedBytes`: the most that one may have. */
inline int64_t blocksAtOnce(int64_t bytes, int64_t sharedBytes) {
  return (sharedBytes + sharedBytesKept) / (bytes + sharedBytesKept);
}

}  // namespace cuda
}  // namespace vwn
