#include <cstdlib>
#include <string>

#include "runtime.h"

namespace vwn {
namespace cuda {

bool usesWarpgroups() {
  const char *wanted = std::getenv("VWN_CUDA_WARPGROUPS");
  return isHopper() && !(wanted && std::string(wanted) == "0");
}

}  // namespace cuda
}  // namespace vwn
