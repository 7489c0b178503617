#include "driver-api.h"

#include <dlfcn.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace vwn {
namespace cuda {

Driver openDriver() {
  const char *named = std::getenv("VWN_CUDA_DRIVER");
  void *library = dlopen(named && *named ? named : "libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) throw std::runtime_error(std::string("there is no NVIDIA driver here: ") + dlerror());
  Driver driver{};
#define VWN_FIND(field, symbol, parameters)                                    \
  driver.field = reinterpret_cast<Result(*) parameters>(dlsym(library, #symbol)); \
  if (!driver.field) throw std::runtime_error("the NVIDIA driver is too old: it has no " #symbol);
  VWN_DRIVER_FUNCTIONS(VWN_FIND)
#undef VWN_FIND
  return driver;
}

}  // namespace cuda
}  // namespace vwn
