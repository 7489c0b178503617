/**
 * Asks for memory that the next block needs while this one computes: a block of a wide state takes microseconds, too
 * long for the processor's own prefetching to see the stream, and its memory is far larger than the caches.
 */
#pragma once
#include <cstdint>

#include "simd.h"

namespace vwn {
namespace VWN_ISA {

class Ahead {
 public:
  /** Bytes from `data` on, to be read or to be overwritten. */
  void add(const void *data, int64_t bytes, bool write) {
    if (bytes > 0 && count_ < maximum) ranges_[count_++] = {static_cast<const char *>(data), (bytes + 63) / 64, write};
  }

  /** The next lines, as many as one phase of a block hides; nothing once all have been asked for. */
  inline void operator()(int64_t lines = 96);

  /**
   * Cuts all there is to ask for into so many calls of {@link step}. Where a block takes little time, many requests at once
   * would wait for each other, and the block's own work behind them.
   */
  void spread(int64_t steps) {
    int64_t lines = 0;
    for (int i = 0; i < count_; i++) lines += ranges_[i].lines;
    share_ = (lines + steps - 1) / steps;
  }
  void step() { (*this)(share_); }

 private:
  struct Stretch {
    const char *data;
    int64_t lines;
    bool write;
  };
  static constexpr int maximum = 8;
  Stretch ranges_[maximum];
  int count_ = 0, now_ = 0;
  int64_t share_ = 0;
};

inline void Ahead::operator()(int64_t lines) {
  while (lines > 0 && now_ < count_) {
    Stretch &range = ranges_[now_];
    const int64_t count = lines < range.lines ? lines : range.lines;
    if (range.write)
      for (int64_t i = 0; i < count; i++) __builtin_prefetch(range.data + i * 64, 1, 2);
    else
      for (int64_t i = 0; i < count; i++) __builtin_prefetch(range.data + i * 64, 0, 2);
    range.data += count * 64;
    range.lines -= count;
    lines -= count;
    if (range.lines == 0) now_++;
  }
}

}  // namespace VWN_ISA
}  // namespace vwn
