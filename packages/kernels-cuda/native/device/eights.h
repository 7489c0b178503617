/** Eight neighbours at a time, in accesses of 16 bytes, for kernels that walk over what lies together: a GPU's bus asks for no less. */
#pragma once
#include "device.h"

namespace vwn {
namespace cuda {

/** How many elements a body is called for, known when it is compiled. */
template <int count>
struct Count {
  static constexpr int value = count;
};

/** Sixteen bytes: eight of bf16, or four of float32. */
struct alignas(16) Chunk {
  uint32_t words[4];
};

VWN_DEVICE void unpack(const Chunk &eight, float (&to)[8]) {
#pragma unroll
  for (int i = 0; i < 4; i++) to[2 * i] = lowerOf(eight.words[i]), to[2 * i + 1] = upperOf(eight.words[i]);
}
/** Eight, on 16 bytes, or one. */
VWN_DEVICE void load(const bf16 *from, float (&to)[8]) { unpack(wholeAt<Chunk>(from), to); }
VWN_DEVICE void load(const float *from, float (&to)[8]) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const auto all = wholeAt<Chunk>(from + 4 * half);
#pragma unroll
    for (int i = 0; i < 4; i++) to[4 * half + i] = asFloat(all.words[i]);
  }
}
template <class T>
VWN_DEVICE void load(const T *from, float (&to)[1]) {
  to[0] = toFloat(*from);
}
VWN_DEVICE Chunk pack(const float (&from)[8]) {
  Chunk all;
#pragma unroll
  for (int i = 0; i < 4; i++) all.words[i] = packed(from[2 * i], from[2 * i + 1]);
  return all;
}
VWN_DEVICE void store(bf16 *to, const float (&from)[8]) { putWhole(to, pack(from)); }
VWN_DEVICE void store(float *to, const float (&from)[8]) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    Chunk all;
#pragma unroll
    for (int i = 0; i < 4; i++) all.words[i] = asBits(from[4 * half + i]);
    putWhole(to + 4 * half, all);
  }
}
template <class T>
VWN_DEVICE void store(T *to, const float (&from)[1]) {
  put(*to, from[0]);
}

/** Whether eights can be had from here: all begin on 16 bytes. */
template <class... T>
VWN_DEVICE bool beginEights(const T *...all) {
  return ((reinterpret_cast<uintptr_t>(all) | ...) & 15) == 0;
}

/**
 * Calls body(i, count) for elements i to i + count of `size`, shared out to `threads` of which this is number `thread`: by eights where
 * `byEights`, and one by one what is left.
 */
template <class Body>
VWN_DEVICE void shareOut(int64_t size, bool byEights, int64_t thread, int64_t threads, const Body &body) {
  const int64_t eights = byEights ? size / 8 : 0;
  for (int64_t i = thread; i < eights; i += threads) body(8 * i, Count<8>{});
  for (int64_t i = 8 * eights + thread; i < size; i += threads) body(i, Count<1>{});
}
template <class Body>
VWN_DEVICE void eachOfGrid(int64_t size, bool byEights, const Body &body) {
  shareOut(size, byEights, gridThread(), gridThreads(), body);
}

}  // namespace cuda
}  // namespace vwn
