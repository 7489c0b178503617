/**
 * Blocks smaller than a huge page, cut from arenas that are made of them. A step of training touches hundreds of weights,
 * gradients and bf16 activations of a megabyte and less; each in 4 KiB pages of its own they cost more address
 * translations than all large tensors.
 */
#pragma once
#include <cstddef>
#include <iterator>
#include <map>
#include <mutex>
#include <vector>

namespace vwn {

/** `Source` has take(bytes), which may return nullptr, and give(memory). */
template <class Source>
class Arenas {
 public:
  static constexpr size_t arenaBytes = size_t{16} << 20, unit = 64;

  /** 64-byte aligned; nullptr when the source has no arena left, or `bytes` is more than one holds. */
  void *take(size_t bytes) {
    const size_t wanted = rounded(bytes);
    if (wanted > arenaBytes) return nullptr;
    const std::lock_guard<std::mutex> lock(mutex_);
    for (Arena &arena : arenas_)
      if (void *block = cut(arena, wanted)) return block;
    char *base = static_cast<char *>(Source::take(arenaBytes));
    if (!base) return nullptr;
    arenas_.push_back({base, {{0, arenaBytes}}});
    return cut(arenas_.back(), wanted);
  }

  /** Takes a block of `bytes` back; false when it is not from here. An arena without blocks goes back to the source. */
  bool give(void *block, size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (size_t i = 0; i < arenas_.size(); i++) {
      Arena &arena = arenas_[i];
      if (!holds(arena, block)) continue;
      join(arena.free, static_cast<size_t>(static_cast<char *>(block) - arena.base), rounded(bytes));
      if (arena.free.size() == 1 && arena.free.begin()->second == arenaBytes) {
        Source::give(arena.base);
        arenas_.erase(arenas_.begin() + static_cast<std::ptrdiff_t>(i));
      }
      return true;
    }
    return false;
  }

 private:
  /** Bytes of each free part by its offset; parts that touch are one. */
  using Free = std::map<size_t, size_t>;
  struct Arena {
    char *base;
    Free free;
  };

  static size_t rounded(size_t bytes) { return bytes < unit ? unit : (bytes + unit - 1) / unit * unit; }
  static bool holds(const Arena &arena, const void *block) {
    const char *at = static_cast<const char *>(block);
    return at >= arena.base && at < arena.base + arenaBytes;
  }

  /** From the first part that is large enough. */
  static void *cut(Arena &arena, size_t bytes) {
    for (auto part = arena.free.begin(); part != arena.free.end(); ++part) {
      const auto [offset, size] = *part;
      if (size < bytes) continue;
      arena.free.erase(part);
      if (size > bytes) arena.free.emplace(offset + bytes, size - bytes);
      return arena.base + offset;
    }
    return nullptr;
  }

  static void join(Free &free, size_t offset, size_t bytes) {
    auto after = free.upper_bound(offset);
    if (after != free.end() && after->first == offset + bytes) {
      bytes += after->second;
      after = free.erase(after);
    }
    if (after != free.begin()) {
      const auto before = std::prev(after);
      if (before->first + before->second == offset) {
        before->second += bytes;
        return;
      }
    }
    free.emplace(offset, bytes);
  }

  std::mutex mutex_;
  std::vector<Arena> arenas_;
};

}  // namespace vwn
