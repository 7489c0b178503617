/** Kernels with the mistakes that a watched build is to find, and with what is none; a line for each on stdout. */
#include "cluster-kernels.h"
#include "device-memory.h"
#include "group-kernels.h"

namespace vwn {
namespace cuda {
namespace {

/** Threads show each other a number, and take that of a neighbour `by` away, with or without waiting for each other. */
template <class T>
VWN_DEVICE void exchange(T *to, int by, int waits) {
  VWN_SHARED(float, room);
  room[threadIdx.x] = 1;
  if (waits == 1) __syncwarp();
  if (waits == 2) __syncthreads();
  to[threadIdx.x] = room[(threadIdx.x + by) % blockDim.x];
}
VWN_SINGLE(exchange, (real *to, int by, int waits), (to, by, waits))

/** Reads a number of all, and then writes it: a barrier is missing between. */
template <class T>
VWN_DEVICE void overwrite(T *to) {
  VWN_SHARED(float, room);
  room[threadIdx.x] = 1;
  __syncthreads();
  to[threadIdx.x] = room[(threadIdx.x + 32) % blockDim.x];
  room[threadIdx.x] = 2;
}
VWN_SINGLE(overwrite, (real *to), (to))

/** One thread of each block writes. */
template <class T>
VWN_DEVICE void behind(T *to, int at) {
  if (threadIdx.x == 0) to[at] = 1;
}
VWN_SINGLE(behind, (real *to, int at), (to, at))

/** Reads what another lane has written, behind an ldmatrix of other memory, which makes nobody wait. */
template <class T>
VWN_DEVICE void behindMatrix(T *to) {
  VWN_SHARED(float, room);
  room[128 + threadIdx.x] = 1;
  __syncwarp();
  room[threadIdx.x] = 1;
  uint32_t words[4];
  loadFour(reinterpret_cast<const bf16 *>(room + 128) + threadIdx.x % 8 * 8, words);
  to[threadIdx.x] = room[threadIdx.x ^ 1];
}
VWN_SINGLE(behindMatrix, (real *to), (to))

/** All lanes read a number, of which the first and the last then write one each: whichever of them has read last. */
template <class T>
VWN_DEVICE void ownNumber(T *to) {
  VWN_SHARED(float, room);
  if (threadIdx.x == 0) room[0] = room[1] = 1;
  __syncwarp();
  to[threadIdx.x] = room[0] + room[1];
  __shfl_sync(0xffffffffu, 0, 0);
  if (threadIdx.x == 0) room[0] = 2;
  if (threadIdx.x == 31) room[1] = 2;
}
VWN_SINGLE(ownNumber, (real *to), (to))

template <class T>
VWN_DEVICE void behindShared(T *to, int at) {
  VWN_SHARED(float, room);
  to[0] = room[at];
}
VWN_SINGLE(behindShared, (real *to, int at), (to, at))

struct alignas(8) Pair {
  float x, y;
};
template <class T>
VWN_DEVICE void pairs(const T *from, T *to, int at) {
  putWhole(to, wholeAt<Pair>(from + at));
}
VWN_SINGLE(pairs, (const real *from, real *to, int at), (from, to, at))

/** Puts a pair together from what it has. */
template <class T>
VWN_DEVICE void putPairs(T *to, int at) {
  putWhole(to + at, Pair{1.0f, static_cast<float>(at)});
}
VWN_SINGLE(putPairs, (real *to, int at), (to, at))

/** Copies numbers into shared memory, and reads where they are to arrive. */
template <class T>
VWN_DEVICE void early(const T *from, T *to) {
  VWN_SHARED(float, room);
  copyAsync<4>(room + threadIdx.x, from, true);
  commitCopies();
  to[threadIdx.x] = room[threadIdx.x];
}
VWN_SINGLE(early, (const real *from, real *to), (from, to))

template <class T>
VWN_DEVICE void flags(T *, int *problem) {
  tell(problem);
}
VWN_SINGLE(flags, (real *to, int *problem), (to, problem))

/** Reads numbers that lie `apart` in the device's memory, and turns them around in shared memory that far apart. */
template <class T>
VWN_DEVICE void strides(const T *from, T *to, int apart) {
  VWN_SHARED(float, room);
  room[threadIdx.x * apart] = from[threadIdx.x * apart];
  to[threadIdx.x] = 1;
}
VWN_SINGLE(strides, (const real *from, real *to, int apart), (from, to, apart))

}  // namespace
}  // namespace cuda
}  // namespace vwn

int main() {
  using namespace vwn::cuda;
  constexpr int64_t count = 1024;
  float *to = static_cast<float *>(allocateOnDevice(4 * 256)), *data = static_cast<float *>(allocateOnDevice(4 * count));
  const float *from = data;
  report("all wait", "exchange_f32", {1}, 64, 256, to, 32, 2);
  report("no barrier", "exchange_f32", {1}, 64, 256, to, 32, 1);
  report("the warp waits", "exchange_f32", {1}, 64, 256, to, 0, 1);
  report("a warp's barrier", "exchange_f32", {1}, 32, 256, to, 1, 1);
  report("no warp's barrier", "exchange_f32", {1}, 32, 256, to, 1, 0);
  report("overwrite", "overwrite_f32", {1}, 64, 256, to);
  report("two blocks", "behind_f32", {2}, 32, 0, to, 0);
  report("last", "behind_f32", {1}, 32, 0, to + 255, 1);
  report("behind a matrix", "behindMatrix_f32", {1}, 32, 1024, to);
  report("own number", "ownNumber_f32", {1}, 32, 256, to);
  report("behind shared", "behindShared_f32", {1}, 32, 256, to, 64);
  report("odd pair", "pairs_f32", {1}, 32, 0, from, to, 3);
  report("odd put", "putPairs_f32", {1}, 32, 0, to, 3);
  report("early", "early_f32", {1}, 32, 256, from, to);
  report("flags", "flags_f32", {2}, 64, 0, to, reinterpret_cast<int *>(to));
  report("near", "strides_f32", {1}, 32, 4096, from, to, 1);
  float *sums = static_cast<float *>(allocateOnDevice(4 * leftRows * mostColumns));
  reportMistake("products", Mistake::none, sums);
  reportMistake("products without a fence", Mistake::noFence, sums);
  reportMistake("products fenced too late", Mistake::fenceTooLate, sums);
  reportMistake("products fenced before copies", Mistake::fenceBeforeCopies, sums);
  reportMistake("products without a barrier", Mistake::noBarrier, sums);
  reportMistake("overwritten afterwards", Mistake::overwrittenAfterwards, sums);
  reportMeeting("a cluster meets", Meeting::right, to);
  reportMeeting("shown without a barrier", Meeting::noBarrier, to);
  reportMeeting("shown too late", Meeting::shownTooLate, to);
  reportMeeting("shown again too early", Meeting::shownAgain, to);
  freeOnDevice(data);
  report("freed", "strides_f32", {1}, 32, 4096, from, to, 32);
  data = static_cast<float *>(allocateOnDevice(4 * count));
  report("far", "strides_f32", {1}, 32, 4096, static_cast<const float *>(data), to, 32);
}
