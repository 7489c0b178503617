#include "warpgroups.h"

#include <cstdlib>
#include <stdexcept>

#include "device-memory.h"
#include "runtime.h"

namespace vwn {
namespace cuda {
namespace {

struct Found {
  bool wereTried = false, products = false, clusters = false, turns = false;
};
Found found;
/** Of a GPU that has them. */
bool areWanted = false;

/** Whether a kernel of device/warpgroup-check.cu has nothing to tell. */
template <class... A>
bool isRight(const char *kernel, int64_t blocks, int64_t sharedBytes, int32_t *wrong, A... more) {
  int32_t told = 0;
  zero(wrong, sizeof told);
  launch(kernel, {blocks}, 256, sharedBytes, wrong, more...);
  copyFromDevice(&told, wrong, sizeof told);
  return told == 0;
}

/** A flag, and what turnCheck needs: turns, and 1024 sums. */
struct CheckRoom {
  int32_t wrong[64];
  uint32_t turns[64];
  float sums[1024];
};

/** Turns are tried by more blocks than run at once. `room` is the device's. */
Found check(CheckRoom *room) {
  constexpr int64_t ofProducts = 64 << 10;
  if (!isRight("warpgroupCheck_f32", 1, ofProducts, room->wrong)) return {true};
  const bool clusters = isRight("clusterCheck_f32", 2, sharedLimit(), room->wrong);
  zero(room->turns, sizeof room->turns);
  const int64_t blocks = 16 * multiprocessors();
  const bool turns = isRight("turnCheck_f32", blocks, 0, room->wrong, room->turns + 0, room->sums + 0);
  return {true, true, clusters, turns};
}

Found tryThem() {
  auto *room = static_cast<CheckRoom *>(allocateOnDevice(sizeof(CheckRoom)));
  if (!room) return {};
  try {
    const Found result = check(room);
    freeOnDevice(room);
    return result;
  } catch (const std::runtime_error &error) {
    freeOnDevice(room);
    throw std::runtime_error(std::string("trying products by warpgroups: ") + error.what() + "; VWN_CUDA_WARPGROUPS=0 does without them");
  }
}

}  // namespace

void openWarpgroups() {
  const char *wanted = std::getenv("VWN_CUDA_WARPGROUPS");
  areWanted = isHopper() && !(wanted && std::string(wanted) == "0");
  if (areWanted) found = tryThem();
}

bool usesWarpgroups() { return found.products; }
bool usesClusters() { return found.clusters; }
bool usesTurns() { return found.turns; }

std::string warpgroupsName() {
  if (!areWanted) return "";
  if (!found.wereTried) return ", no warpgroups (no memory to try them)";
  if (!found.products) return ", no warpgroups (their products are wrong)";
  std::string name = ", warpgroups";
  if (!found.clusters) name += ", no clusters (what their blocks show each other is wrong)";
  if (!found.turns) name += ", no turns (what blocks add one after the other is wrong)";
  return name;
}

}  // namespace cuda
}  // namespace vwn
