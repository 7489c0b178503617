#include "memory.h"

#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace vwn {
namespace {
constexpr size_t hugePage = size_t{2} << 20;
size_t rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }
}  // namespace

void *allocateBlock(size_t bytes) {
  const size_t unit = bytes >= hugePage ? hugePage : 64;
#if defined(_WIN32)
  return _aligned_malloc(rounded(bytes, unit), unit);
#else
  void *data = std::aligned_alloc(unit, rounded(bytes < 64 ? 64 : bytes, unit));
#if defined(__linux__)
  // Advice only: where it is refused the block has small pages.
  if (data && bytes >= hugePage) (void)madvise(data, rounded(bytes, unit), MADV_HUGEPAGE);
#endif
  return data;
#endif
}

void freeBlock(void *data, size_t) {
#if defined(_WIN32)
  _aligned_free(data);
#else
  std::free(data);
#endif
}

}  // namespace vwn
