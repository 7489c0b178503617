/**
 * What the memory accesses of a kernel do wrong that a host forgives: reading or writing outside of memory, on addresses
 * that a GPU refuses, and what another thread reads or writes meanwhile. Only in a build of its own (VWN_WATCHED), whose
 * kernels call watch.cc at each access; elsewhere nothing.
 */
#pragma once
#include <cstddef>
#include <cstdlib>
#include <string>

namespace vwn {
namespace emulation {
namespace watch {

#if defined(VWN_WATCHED)

/** Memory of the device: apart from that of the host, with nothing right behind it. nullptr where there is none left. */
void *allocate(size_t bytes);
void release(void *data);
/** What blocks share: `bytes` at most, of all of a cluster. */
void *sharedRoom(size_t bytes);

void beginLaunch(const std::string &kernel, size_t sharedBytes);
void beginCluster();
/** All threads of the cluster's block of this number, or all of the cluster's, have come here. */
void passBarrier(unsigned rank);
void passCluster();
/** The running thread has met the others of its warp, as __syncwarp does. */
void passWarp();

/** The running thread asks for a copy to shared memory, and has it. */
void ask(void *to, const void *from, size_t bytes, const void *where);
void arrive(void *to, size_t bytes);
/** A read by other means than a load, of as many bytes as it lies on. */
void noteRead(const void *data, size_t bytes, const void *where);
/**
 * As noteRead, by what sees no write before its thread has called `fence` and others have waited for that. Not counted as traffic
 * where it comes from nowhere.
 */
void noteReadBehindFence(const void *data, size_t bytes, const void *where);
void fence();

#else

inline void *allocate(size_t bytes) { return std::aligned_alloc(256, (bytes + 255) / 256 * 256); }
inline void release(void *data) { std::free(data); }
inline void *sharedRoom(size_t bytes) {
  static void *const room = allocate(bytes);
  return room;
}
inline void beginLaunch(const std::string &, size_t) {}
inline void beginCluster() {}
inline void passBarrier(unsigned) {}
inline void passCluster() {}
inline void passWarp() {}
inline void ask(void *, const void *, size_t, const void *) {}
inline void arrive(void *, size_t) {}
inline void noteRead(const void *, size_t, const void *) {}
inline void noteReadBehindFence(const void *, size_t, const void *) {}
inline void fence() {}

#endif

}  // namespace watch
}  // namespace emulation
}  // namespace vwn
