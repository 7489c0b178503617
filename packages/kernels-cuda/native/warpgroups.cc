#include "warpgroups.h"

#include <cstdlib>
#include <stdexcept>

#include "device-memory.h"
#include "runtime.h"

namespace vwn {
namespace cuda {
namespace {

enum class Found { none, right, withoutClusters, wrong, unchecked };
Found found = Found::none;

/** Whether a kernel of device/warpgroup-check.cu says that something is wrong. */
bool isWrong(const char *kernel, int64_t blocks, int64_t sharedBytes, int32_t *wrong) {
  int32_t told = 0;
  zero(wrong, sizeof told);
  launch(kernel, {blocks}, 256, sharedBytes, wrong);
  copyFromDevice(&told, wrong, sizeof told);
  return told != 0;
}

Found check(int32_t *wrong) {
  constexpr int64_t ofProducts = 64 << 10;
  if (isWrong("warpgroupCheck_f32", 1, ofProducts, wrong)) return Found::wrong;
  return isWrong("clusterCheck_f32", 2, sharedLimit(), wrong) ? Found::withoutClusters : Found::right;
}

Found tryThem() {
  auto *wrong = static_cast<int32_t *>(allocateOnDevice(sizeof(int32_t)));
  if (!wrong) return Found::unchecked;
  try {
    const Found result = check(wrong);
    freeOnDevice(wrong);
    return result;
  } catch (const std::runtime_error &error) {
    freeOnDevice(wrong);
    throw std::runtime_error(std::string("trying products by warpgroups: ") + error.what() + "; VWN_CUDA_WARPGROUPS=0 does without them");
  }
}

}  // namespace

void openWarpgroups() {
  const char *wanted = std::getenv("VWN_CUDA_WARPGROUPS");
  if (isHopper() && !(wanted && std::string(wanted) == "0")) found = tryThem();
}

bool usesWarpgroups() { return found == Found::right || found == Found::withoutClusters; }
bool usesClusters() { return found == Found::right; }

std::string warpgroupsName() {
  if (found == Found::right) return ", warpgroups";
  if (found == Found::withoutClusters) return ", warpgroups, no clusters (what their blocks show each other is wrong)";
  if (found == Found::wrong) return ", no warpgroups (their products are wrong)";
  return found == Found::unchecked ? ", no warpgroups (no memory to try them)" : "";
}

}  // namespace cuda
}  // namespace vwn
