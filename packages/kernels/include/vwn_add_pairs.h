/** Arguments of add_pairs, read and checked for all libraries. Where `problem()` of them or of the call says something, pointers must not be used. */
#pragma once
#include <vector>

#include "vwn_call.h"

namespace vwn {
namespace VWN_ISA {

struct PairToAdd {
  const float *first, *second;
  float *sum;
  int64_t size;
};

/** Buffers, all float32: for each pair its two, of one size; then the sums, of which each may be one of its two. Numbers: pairs. */
class AddPairsArguments {
 public:
  std::vector<PairToAdd> pairs;

  explicit AddPairsArguments(Call &call) {
    const int64_t count = call.dimension(0);
    if (count > call.buffers() || call.buffers() != 3 * count) {
      problem_ = "add_pairs takes three buffers a pair";
      return;
    }
    for (int i = 0; i < count; i++) {
      const int64_t size = call.size(2 * i);
      const float *first = call.floats(2 * i, size), *second = call.floats(2 * i + 1, size);
      pairs.push_back({first, second, call.floats(static_cast<int>(2 * count) + i, size), size});
    }
  }

  const char *problem() const { return problem_; }

 private:
  const char *problem_ = nullptr;
};

}  // namespace VWN_ISA
}  // namespace vwn
