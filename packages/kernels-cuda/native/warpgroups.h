/**
 * Kernels by warpgroups, which GPUs of compute capability 9.0 have and no others, and those of them by clusters of two blocks, or by
 * blocks that add to sums in turn: whether to use them.
 * VWN_CUDA_WARPGROUPS=0 says no, and so does a GPU on which what they make is not what it should be.
 */
#pragma once
#include <string>

namespace vwn {
namespace cuda {

/** Tries them, once, when the device is open; until then none are used. @throws std::runtime_error where trying fails */
void openWarpgroups();
bool usesWarpgroups();
bool usesClusters();
bool usesTurns();
/** For the library's name: ", warpgroups", what is missing of them where they should be, or nothing. */
std::string warpgroupsName();

}  // namespace cuda
}  // namespace vwn
