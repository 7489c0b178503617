#include "cublaslt.h"

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "../runtime.h"

namespace vwn {
namespace cuda {
namespace {

void *openLibraryOfLt() {
  const char *named = std::getenv("VWN_CUBLASLT");
  if (named && std::strcmp(named, "none") == 0) return nullptr;
  if (named && *named) {
    void *library = dlopen(named, RTLD_NOW | RTLD_LOCAL);
    if (!library) throw std::runtime_error(std::string("VWN_CUBLASLT names what cannot be opened: ") + dlerror());
    return library;
  }
  for (const char *name : {"libcublasLt.so.13", "libcublasLt.so.12"})
    if (void *library = onGpu() ? dlopen(name, RTLD_NOW | RTLD_LOCAL) : nullptr) return library;
  return nullptr;
}

const CublasLt *open() {
  static CublasLt only{};
  void *library = openLibraryOfLt();
  if (!library) return nullptr;
#define VWN_FIND(field, symbol, result, parameters)                                  \
  only.field = reinterpret_cast<result(*) parameters>(dlsym(library, #symbol)); \
  if (!only.field) throw std::runtime_error("cuBLASLt is not what it should be: it has no " #symbol);
  VWN_LT_FUNCTIONS(VWN_FIND)
#undef VWN_FIND
  return &only;
}

}  // namespace

const CublasLt *cublasLt() {
  static const CublasLt *const found = open();
  return found;
}

std::string blasName() {
  if (!cublasLt()) return "no cuBLASLt";
  const size_t version = cublasLt()->version(); /* 130101: 13.1.1 */
  return "cuBLASLt " + std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100);
}

}  // namespace cuda
}  // namespace vwn
