/** Sums of many pairs of tensors; a launch takes many, the grid's y says which. */
#include "eights.h"
#include "tensor-lists.h"

namespace vwn {
namespace cuda {
namespace {

template <class T>
VWN_DEVICE void addPairs(const Pairs &pairs) {
  const T *first = pairs.first[blockIdx.y], *second = pairs.second[blockIdx.y];
  T *sum = pairs.sums[blockIdx.y];
  eachOfGrid(pairs.sizes[blockIdx.y], beginEights(first, second, static_cast<const T *>(sum)), [&](int64_t at, auto count) {
    constexpr int n = decltype(count)::value;
    float values[n], more[n];
    load(first + at, values), load(second + at, more);
#pragma unroll
    for (int i = 0; i < n; i++) values[i] += more[i];
    store(sum + at, values);
  });
}
VWN_SINGLE(addPairs, (Pairs pairs), (pairs))

}  // namespace
}  // namespace cuda
}  // namespace vwn
