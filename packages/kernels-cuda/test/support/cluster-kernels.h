/** Kernels of two blocks that show each other numbers, as they should or with a mistake. */
#pragma once
#include "device/block-cluster.h"
#include "report.h"

namespace vwn {
namespace cuda {
namespace {

enum class Meeting { right, noBarrier, shownTooLate, shownAgain, oneBlockLeftOut, notComeBefore, notAwaited };

VWN_DEVICE void meet(float *to, Meeting how) {
  VWN_SHARED(float, room);
  const int thread = static_cast<int>(threadIdx.x), size = static_cast<int>(blockDim.x);
  const auto number = static_cast<float>(100 * blockIdx.x + threadIdx.x);
  if (how == Meeting::notComeBefore) awaitCluster();
  if (how == Meeting::shownTooLate) arriveInCluster();
  putInOther(room + thread, number);
  if (how == Meeting::notAwaited) arriveInCluster();
  if (how == Meeting::oneBlockLeftOut && rankInCluster() == 1) return;
  if (how != Meeting::noBarrier && how != Meeting::shownTooLate) arriveInCluster();
  if (how != Meeting::noBarrier) awaitCluster();
  to[blockIdx.x * blockDim.x + threadIdx.x] = room[(thread + 1) % size];
  if (how == Meeting::shownAgain) putInOther(room + thread, number);
}

namespace entry_meet {
extern "C" __global__ void meet_f32(float *to, int how) { meet(to, static_cast<Meeting>(how)); }
VWN_REGISTER_IN_CLUSTERS(meet_f32)
}  // namespace entry_meet

/** Two clusters; `to` has room for 256 floats. */
void reportMeeting(const char *title, Meeting how, float *to) {
  report(title, "meet_f32", {4}, 64, 256, to, static_cast<int>(how));
}

}  // namespace
}  // namespace cuda
}  // namespace vwn
