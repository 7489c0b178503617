/** Lists of tensors as arguments of a kernel, which may be 4 KiB together. */
#pragma once
#include <cstdint>

namespace vwn {
namespace cuda {

constexpr int tensorsOfLaunch = 56;

struct bf16;

/** One tensor of AdamW, with m the `first` and v the `second` moment; `row` of the factors is its own. */
struct Update {
  float *parameter;
  const float *grad;
  float *first, *second;
  /** Null, or to become the new parameter, rounded. */
  bf16 *rounded;
  int64_t size;
  int64_t row;
};

struct Updates {
  Update each[tensorsOfLaunch];
};

struct Tensors {
  const float *each[tensorsOfLaunch];
  int64_t sizes[tensorsOfLaunch];
};

/** Tensors that are added two by two. */
struct Pairs {
  const float *first[tensorsOfLaunch], *second[tensorsOfLaunch];
  float *sums[tensorsOfLaunch];
  int64_t sizes[tensorsOfLaunch];
};

}  // namespace cuda
}  // namespace vwn
