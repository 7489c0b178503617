/** Memory of the device that is there: what has been allocated, and the modules' variables. */
#pragma once
#include <cstdint>
#include <map>

namespace vwn {
namespace ptx {

class DeviceRanges {
 public:
  void add(const void *begin, size_t bytes) { ranges_[reinterpret_cast<uint64_t>(begin)] = bytes; }
  bool remove(const void *begin) {
    begin_ = end_ = 0;
    return ranges_.erase(reinterpret_cast<uint64_t>(begin)) > 0;
  }
  bool has(uint64_t address, size_t bytes) const {
    if (address < begin_ || address + bytes > end_) find(address);
    return address >= begin_ && address + bytes <= end_;
  }

 private:
  void find(uint64_t address) const {
    auto after = ranges_.upper_bound(address);
    if (after == ranges_.begin()) return;
    --after;
    begin_ = after->first, end_ = after->first + after->second;
  }
  std::map<uint64_t, size_t> ranges_;
  /** The range that was asked for last. */
  mutable uint64_t begin_ = 0, end_ = 0;
};

}  // namespace ptx
}  // namespace vwn
