/**
 * Kernels by warpgroups, which GPUs of compute capability 9.0 have and no others: whether to use them. VWN_CUDA_WARPGROUPS=0 says no,
 * and so does a GPU on which their products are not what they should be.
 */
#pragma once
#include <string>

namespace vwn {
namespace cuda {

/** Tries them, once, when the device is open; until then none are used. @throws std::runtime_error where trying fails */
void openWarpgroups();
bool usesWarpgroups();
/** For the library's name: ", warpgroups", why there are none where there should be, or nothing. */
std::string warpgroupsName();

}  // namespace cuda
}  // namespace vwn
