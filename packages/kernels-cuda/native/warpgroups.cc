#include "warpgroups.h"

#include <cstdlib>
#include <stdexcept>

#include "device-memory.h"
#include "runtime.h"

namespace vwn {
namespace cuda {
namespace {

enum class Found { none, right, wrong, unchecked };
Found found = Found::none;

/** What device/warpgroup-check.cu says, with its block's shared memory. */
Found check() {
  constexpr int64_t sharedBytes = 64 << 10;
  auto *wrong = static_cast<int32_t *>(allocateOnDevice(sizeof(int32_t)));
  if (!wrong) return Found::unchecked;
  int32_t told = 0;
  try {
    zero(wrong, sizeof told);
    launch("warpgroupCheck_f32", {1}, 256, sharedBytes, wrong);
    copyFromDevice(&told, wrong, sizeof told);
  } catch (const std::runtime_error &error) {
    freeOnDevice(wrong);
    throw std::runtime_error(std::string("trying products by warpgroups: ") + error.what() + "; VWN_CUDA_WARPGROUPS=0 does without them");
  }
  freeOnDevice(wrong);
  return told ? Found::wrong : Found::right;
}

}  // namespace

void openWarpgroups() {
  const char *wanted = std::getenv("VWN_CUDA_WARPGROUPS");
  if (isHopper() && !(wanted && std::string(wanted) == "0")) found = check();
}

bool usesWarpgroups() { return found == Found::right; }

std::string warpgroupsName() {
  if (found == Found::right) return ", warpgroups";
  if (found == Found::wrong) return ", no warpgroups (their products are wrong)";
  return found == Found::unchecked ? ", no warpgroups (no memory to try them)" : "";
}

}  // namespace cuda
}  // namespace vwn
