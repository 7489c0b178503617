/** What the emulation gives for a stream to libraries that add work to one. */
#pragma once
#include <functional>

namespace vwn {
namespace emulation {

struct Stream {
  /** Does the work, or keeps it where a graph is being made. */
  void (*add)(std::function<void()> work);
};

}  // namespace emulation
}  // namespace vwn
