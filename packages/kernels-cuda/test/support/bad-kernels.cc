/** Kernels with the mistakes that emulation is to find; a line for each on stdout. */
#include <cstdio>
#include <stdexcept>
#include <string>

#include "device/device.h"
#include "runtime.h"

namespace vwn {
namespace cuda {
namespace {

template <class T>
VWN_DEVICE void right(T *to) {
  VWN_SHARED(float, room);
  room[threadIdx.x] = static_cast<float>(threadIdx.x);
  __syncthreads();
  const float next = room[(threadIdx.x + 1) % blockDim.x];
  const float sum = blockSum(next, room + blockDim.x);
  if (threadIdx.x == 0) to[blockIdx.x] = sum;
}
VWN_SINGLE(right, (real *to), (to))

template <class T>
VWN_DEVICE void noBarrier(T *to) {
  VWN_SHARED(float, room);
  room[threadIdx.x] = static_cast<float>(threadIdx.x);
  const float next = room[(threadIdx.x + 1) % blockDim.x];
  const float sum = blockSum(next, room + blockDim.x);
  if (threadIdx.x == 0) to[blockIdx.x] = sum;
}
VWN_SINGLE(noBarrier, (real *to), (to))

template <class T>
VWN_DEVICE void unwritten(T *to) {
  VWN_SHARED(float, room);
  to[blockIdx.x] = room[threadIdx.x];
}
VWN_SINGLE(unwritten, (real *to), (to))

template <class T>
VWN_DEVICE void halfBarrier(T *to) {
  if (threadIdx.x < 40) __syncthreads();
  to[blockIdx.x] = 1;
}
VWN_SINGLE(halfBarrier, (real *to), (to))

template <class T>
VWN_DEVICE void halfShuffle(T *to) {
  to[blockIdx.x] = threadIdx.x % 2 ? warpSum(1) : 0;
}
VWN_SINGLE(halfShuffle, (real *to), (to))

template <class... A>
void report(const char *title, const std::string &kernel, Grid grid, int threads, int64_t sharedBytes, A... arguments) {
  try {
    launch(kernel, grid, threads, sharedBytes, arguments...);
    std::printf("%s: done\n", title);
  } catch (const std::runtime_error &error) {
    std::printf("%s: %s\n", title, error.what());
  }
}

}  // namespace
}  // namespace cuda
}  // namespace vwn

int main() {
  using namespace vwn::cuda;
  float to[2] = {};
  report("right", "right_f32", {2}, 64, 4096, static_cast<float *>(to));
  std::printf("sums %g %g\n", to[0], to[1]);
  report("no barrier", "noBarrier_f32", {2}, 64, 4096, static_cast<float *>(to));
  std::printf("sums %g %g\n", to[0], to[1]);
  report("unwritten", "unwritten_f32", {1}, 32, 4096, static_cast<float *>(to));
  std::printf("read %g\n", to[0]);
  report("half barrier", "halfBarrier_f32", {1}, 64, 0, static_cast<float *>(to));
  report("half shuffle", "halfShuffle_f32", {1}, 64, 0, static_cast<float *>(to));
  report("right again", "right_f32", {2}, 64, 4096, static_cast<float *>(to));
  report("other types", "right_f32", {1}, 64, 4096, static_cast<const float *>(to));
  report("missing", "left_f32", {1}, 64, 4096, static_cast<float *>(to));
  report("odd block", "right_f32", {1}, 33, 4096, static_cast<float *>(to));
  report("too much", "right_f32", {1}, 64, 1 << 20, static_cast<float *>(to));
}
