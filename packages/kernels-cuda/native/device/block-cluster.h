/**
 * Two blocks that run at once on two multiprocessors, of which each writes to the other's shared memory: a cluster of two, from
 * compute capability 9.0 on. A kernel for them has VWN_IN_CLUSTERS and VWN_REGISTER_IN_CLUSTERS, and a grid of an even number.
 *
 * What is written to the other block is there for it behind a barrier of both: arriveInCluster and then awaitCluster, by all
 * threads, which may do between them what the other block does not ask for. Before a place is written again, and before a block
 * ends, those who read from it or write to it must have come to another.
 */
#pragma once
#include "device.h"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define VWN_IN_CLUSTERS __cluster_dims__(2, 1, 1)
#else
#define VWN_IN_CLUSTERS
#endif
#if defined(__CUDACC__)
#define VWN_REGISTER_IN_CLUSTERS(name)
#else
#define VWN_REGISTER_IN_CLUSTERS(name) static const vwn::emulation::Registered registered_##name(#name, name, 2);
#endif

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
namespace vwn {
namespace cuda {

#if defined(__CUDACC__)

VWN_DEVICE int rankInCluster() {
  int rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
/** To where the other block has what this one has at `own`. */
VWN_DEVICE void putInOther(float *own, float value) {
  const unsigned at = static_cast<unsigned>(__cvta_generic_to_shared(own));
  unsigned other;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(other) : "r"(at), "r"(1 - rankInCluster()));
  asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(other), "f"(value) : "memory");
}
VWN_DEVICE void arriveInCluster() { asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory"); }
VWN_DEVICE void awaitCluster() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }

#else

VWN_DEVICE int rankInCluster() { return static_cast<int>(emulation::running.rank); }
VWN_DEVICE void putInOther(float *own, float value) {
  *static_cast<float *>(emulation::inBlockOfCluster(own, 1 - emulation::running.rank)) = value;
}
VWN_DEVICE void arriveInCluster() { emulation::arriveInCluster(); }
VWN_DEVICE void awaitCluster() { emulation::awaitCluster(); }

#endif

}  // namespace cuda
}  // namespace vwn
#endif
