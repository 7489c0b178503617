/**
 * As much of CUDA C++ as the kernels use, for a host compiler. A block's threads are fibres of one host thread: they run
 * one after the other and change at barriers and shuffles, in a fixed order, so that results repeat bit for bit.
 */
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <typeindex>
#include <utility>
#include <vector>

using std::isfinite;
using std::isnan;

#define __global__
#define __device__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)

namespace vwn {
namespace emulation {

struct Index {
  unsigned x, y, z;
};

/** Of the thread that runs now. */
struct Running {
  Index thread, block, blocks, threads;
  /** Blocks of a cluster, which run at once, and the number of this one among them. */
  unsigned cluster, rank;
};
extern Running running;

/** Memory of the running block; NaN in every float when the block starts. */
void *sharedMemory();
void syncBlock();
/** Where another block of the cluster has what the running one has at `own`, in shared memory. */
void *inBlockOfCluster(void *own, unsigned rank);
/** A barrier of all threads of a cluster in two parts: what came before the one is done behind the other. */
void arriveInCluster();
void awaitCluster();
/** Shows the warp up to 32 bytes, and waits until all 32 lanes have: all must call it. */
void share(const void *bytes, size_t count);
/** What a lane has shown, until this lane shares again. */
const void *sharedBy(unsigned lane);

/** A copy that this thread asks for; it is made when its group is waited for. From nullptr: zeros. */
void copyLater(void *to, const void *from, size_t bytes);
void commitCopies();
void awaitCopies(int pending);

/** Reads a row of 8 bf16 for the warp, as one lane of ldmatrix does; then any lane has number `i` of what `lane` read. */
void showRow(const void *row);
uint16_t ofRow(unsigned lane, unsigned i);

/** Where something stands in shared memory. */
uint64_t placeInShared(const void *at);
/** Products by a warpgroup, as wgmma makes them: see device/warpgroup-matrix.h and products.cc. */
void beginProducts();
void commitProducts();
void awaitProducts(int pending);
void fenceForProducts();
struct SharedFactor {
  uint64_t descriptor;
  bool isTransposed;

  bool operator==(const SharedFactor &) const = default;
};
/** This thread's part of sums [64, columns] = or += a·b; the left factor from `left`, four words, or, where that is null, from `a`. */
void multiplyLater(float *sums, int columns, const uint32_t *left, const SharedFactor &a, const SharedFactor &b, bool adds);

#if defined(VWN_WATCHED)
/** A value of which an instruction takes `alignment` bytes, 16 at most. */
void readWhole(const void *at, void *to, size_t bytes, size_t alignment);
void writeWhole(void *at, const void *from, size_t bytes, size_t alignment);
#endif

template <class T>
T shuffled(T value, unsigned from) {
  share(&value, sizeof value);
  std::memcpy(&value, sharedBy(from), sizeof value);
  return value;
}

/** A kernel by name: what one of its threads does, given pointers to the arguments, which are copied; their types; its clusters. */
struct Kernel {
  std::function<std::function<void()>(void **)> bind;
  std::vector<std::type_index> types;
  unsigned cluster;
};

class Registered {
 public:
  template <class... A>
  Registered(const char *name, void (*kernel)(A...), unsigned cluster = 1) {
    add(name, {[kernel](void **values) { return bound(kernel, values, std::index_sequence_for<A...>()); }, {typeid(A)...}, cluster});
  }

 private:
  template <class... A, size_t... i>
  static std::function<void()> bound(void (*kernel)(A...), void **values, std::index_sequence<i...>) {
    return [kernel, arguments = std::tuple<A...>(*static_cast<A *>(values[i])...)] { std::apply(kernel, arguments); };
  }
  static void add(const char *name, Kernel kernel);
};

}  // namespace emulation
}  // namespace vwn

#define threadIdx (vwn::emulation::running.thread)
#define blockIdx (vwn::emulation::running.block)
#define gridDim (vwn::emulation::running.blocks)
#define blockDim (vwn::emulation::running.threads)

inline void __syncthreads() { vwn::emulation::syncBlock(); }
inline void __syncwarp(unsigned = 0xffffffffu) { vwn::emulation::share(nullptr, 0); }
template <class T>
T __shfl_xor_sync(unsigned, T value, int lanes) {
  return vwn::emulation::shuffled(value, (threadIdx.x % 32) ^ static_cast<unsigned>(lanes));
}
template <class T>
T __shfl_sync(unsigned, T value, int from) {
  return vwn::emulation::shuffled(value, static_cast<unsigned>(from) % 32);
}
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
