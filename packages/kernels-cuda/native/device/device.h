/**
 * What every kernel includes. The same file is CUDA C++ for nvcc and, through emulation/cuda.h, plain C++ for a host
 * that runs a grid thread by thread; kernels use nothing of CUDA that stands in neither.
 *
 * A kernel is launched by name with at most `maximumThreads` threads a block, or what its entry says, a multiple of 32; memory that a
 * block shares is all dynamic (VWN_SHARED), so that emulation can fill it with NaN before each block.
 */
#pragma once
#include <cstdint>

#if defined(__CUDACC__)
#define VWN_DEVICE __device__ __forceinline__
#define VWN_REGISTER(name)
#define VWN_SHARED(type, name)                      \
  extern __shared__ __align__(16) char vwnShared[]; \
  type *name = reinterpret_cast<type *>(vwnShared)
#else
#include "../emulation/cuda.h"
#if defined(VWN_WATCHED)
// So that an access is told apart by the lines that lead to it.
#define VWN_DEVICE [[gnu::always_inline]] inline
#else
#define VWN_DEVICE inline
#endif
#define VWN_REGISTER(name) static const vwn::emulation::Registered registered_##name(#name, name);
#define VWN_SHARED(type, name) type *name = reinterpret_cast<type *>(vwn::emulation::sharedMemory())
#endif

namespace vwn {
namespace cuda {

constexpr int maximumThreads = 256, warpSize_ = 32;

/** bf16 as it is stored; arithmetic is in float32. */
struct bf16 {
  uint16_t bits;
};

VWN_DEVICE float asFloat(uint32_t bits) {
#if defined(__CUDACC__)
  return __uint_as_float(bits);
#else
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
#endif
}
VWN_DEVICE uint32_t asBits(float value) {
#if defined(__CUDACC__)
  return __float_as_uint(value);
#else
  uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  return bits;
#endif
}

VWN_DEVICE float toFloat(float x) { return x; }
VWN_DEVICE float toFloat(bf16 x) { return asFloat(static_cast<uint32_t>(x.bits) << 16); }

/** Rounds to the nearest, ties to even; NaN stays NaN. */
VWN_DEVICE bf16 toBf16(float x) {
#if defined(__CUDACC__)
  uint16_t rounded;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(rounded) : "f"(x));
  return {rounded};
#else
  const uint32_t bits = asBits(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((bits >> 16) | 0x40u)};
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
#endif
}
/** Two numbers rounded to bf16 in one word, the lower half first. */
VWN_DEVICE uint32_t packed(float lower, float upper) {
#if defined(__CUDACC__)
  uint32_t word;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(upper), "f"(lower));
  return word;
#else
  return static_cast<uint32_t>(toBf16(lower).bits) | static_cast<uint32_t>(toBf16(upper).bits) << 16;
#endif
}
VWN_DEVICE float lowerOf(uint32_t pair) { return toFloat(bf16{static_cast<uint16_t>(pair & 0xffffu)}); }
VWN_DEVICE float upperOf(uint32_t pair) { return toFloat(bf16{static_cast<uint16_t>(pair >> 16)}); }
VWN_DEVICE void put(float &to, float x) { to = x; }
VWN_DEVICE void put(bf16 &to, float x) { to = toBf16(x); }
/** `x` as it is read back after having been stored as `T`. */
template <class T>
VWN_DEVICE float rounded(float x) {
  T stored;
  put(stored, x);
  return toFloat(stored);
}

/** All of a T at once, on as many bytes as it is aligned to. A watched build sees one access, not those of its parts. */
template <class T>
VWN_DEVICE T wholeAt(const void *at) {
#if defined(VWN_WATCHED)
  T value;
  emulation::readWhole(at, &value, sizeof value, alignof(T));
  return value;
#else
  return *static_cast<const T *>(at);
#endif
}
template <class T>
VWN_DEVICE void putWhole(void *at, const T &value) {
#if defined(VWN_WATCHED)
  emulation::writeWhole(at, &value, sizeof value, alignof(T));
#else
  *static_cast<T *>(at) = value;
#endif
}

/** The same number, of which the compiler does not know that: what depends on it is not kept in registers from turn to turn of a loop. */
VWN_DEVICE int anew(int x) {
#if defined(__CUDACC__)
  asm volatile("" : "+r"(x));
#endif
  return x;
}

/** Says that something was wrong; any number of threads may, in any order. */
VWN_DEVICE void tell(int32_t *problem) { *static_cast<volatile int32_t *>(problem) = 1; }

/** This thread's index in the grid, and how many threads the grid has: for loops over elements of any number. */
VWN_DEVICE int64_t gridThread() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }
VWN_DEVICE int64_t gridThreads() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

/** Sum over the warp, the same in all its lanes. */
VWN_DEVICE float warpSum(float x) {
  for (int lanes = warpSize_ / 2; lanes > 0; lanes /= 2) x += __shfl_xor_sync(0xffffffffu, x, lanes);
  return x;
}
VWN_DEVICE float warpMaximum(float x) {
  for (int lanes = warpSize_ / 2; lanes > 0; lanes /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, lanes));
  return x;
}

/** Votes: bit `lane` of the result is whether that lane's `flag` is set; bitsOf counts how many are. */
#if defined(__CUDACC__)
VWN_DEVICE unsigned votes(bool flag) { return __ballot_sync(0xffffffffu, flag); }
VWN_DEVICE int bitsOf(unsigned mask) { return __popc(mask); }
#else
VWN_DEVICE unsigned votes(bool flag) {
  unsigned mask = flag ? 1u << (threadIdx.x % warpSize_) : 0u;
  for (int lanes = warpSize_ / 2; lanes > 0; lanes /= 2) mask |= __shfl_xor_sync(0xffffffffu, mask, lanes);
  return mask;
}
VWN_DEVICE int bitsOf(unsigned mask) { return __builtin_popcount(mask); }
#endif

/** Sum over a block of up to `maximumThreads`, the same in all threads; `room`: 32 floats that the block shares. */
VWN_DEVICE float blockSum(float x, float *room) {
  x = warpSum(x);
  __syncthreads();
  if (threadIdx.x % warpSize_ == 0) room[threadIdx.x / warpSize_] = x;
  __syncthreads();
  float sum = 0;
  for (int i = 0; i < static_cast<int>(blockDim.x) / warpSize_; i++) sum += room[i];
  return sum;
}

}  // namespace cuda
}  // namespace vwn

/** `threads`: the most that a block has; `blocks`: how many a multiprocessor holds at once at least. Both limit registers. */
#define VWN_ENTRY_IN_BOUNDS(name, suffix, type, threads, blocks, params, args)                                \
  namespace entry_##name##_##suffix {                                                                         \
  using real [[maybe_unused]] = type;                                                                         \
  extern "C" __global__ void __launch_bounds__(threads, blocks) name##_##suffix params { name<real> args; }   \
  VWN_REGISTER(name##_##suffix)                                                                               \
  }
#define VWN_ENTRY_IN_BLOCKS(name, suffix, type, blocks, params, args) \
  VWN_ENTRY_IN_BOUNDS(name, suffix, type, 256, blocks, params, args)
#define VWN_ENTRY(name, suffix, type, params, args) VWN_ENTRY_IN_BLOCKS(name, suffix, type, 1, params, args)

/**
 * Kernels `name_f32` and `name_bf16` that call the template `name<real>`; `real` is the storage in `params`:
 *   VWN_FLOATS(scale, (const real *x, real *y, int64_t size, float by), (x, y, size, by))
 */
#define VWN_FLOATS(name, params, args)        \
  VWN_ENTRY(name, f32, float, params, args)   \
  VWN_ENTRY(name, bf16, ::vwn::cuda::bf16, params, args)

/** A kernel of one kind of storage, `name_f32`, that calls the template `name<float>`. */
#define VWN_SINGLE(name, params, args) VWN_ENTRY(name, f32, float, params, args)
/** As VWN_SINGLE, two blocks at once: one works while the other waits on memory. */
#define VWN_SINGLE_IN_PAIRS(name, params, args) VWN_ENTRY_IN_BLOCKS(name, f32, float, 2, params, args)
