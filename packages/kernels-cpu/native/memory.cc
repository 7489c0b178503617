#include "memory.h"

#include <cstdlib>
#include <new>

#include "arenas.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace vwn {
namespace {

constexpr size_t hugePage = size_t{2} << 20;
/** Smaller blocks are the C library's: they share pages as they are. */
constexpr size_t leastOfArena = size_t{16} << 10;

size_t rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

/** Memory of the system, from a huge page's size on in huge pages. */
struct System {
  static void *take(size_t bytes) {
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
  static void give(void *data) {
#if defined(_WIN32)
    _aligned_free(data);
#else
    std::free(data);
#endif
  }
};

/** Never destroyed: finalizers of JavaScript give blocks back as late as they like. */
Arenas<System> &arenas() {
  static auto *const instance = new Arenas<System>;
  return *instance;
}

/** Not under the address sanitizer, which sees only the borders of the system's own blocks. */
bool isOfArena(size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  (void)bytes;
  return false;
#else
  return bytes >= leastOfArena && bytes < hugePage;
#endif
}

}  // namespace

void *allocateBlock(size_t bytes) {
  if (isOfArena(bytes))
    if (void *block = arenas().take(bytes)) return block;
  return System::take(bytes);
}

void freeBlock(void *data, size_t bytes) {
  try {
    if (data && isOfArena(bytes) && arenas().give(data, bytes)) return;
  } catch (const std::bad_alloc &) {
    return;  // No room to note that the block is free: it stays taken, which a finalizer can live with.
  }
  System::give(data);
}

}  // namespace vwn
