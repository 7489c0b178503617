/** Copies between two strided views, of elements of any type. Threads walk over the view. */
#include "device.h"
#include "dimensions.h"

namespace vwn {
namespace cuda {
namespace {

template <class T>
VWN_DEVICE void copyStrided(const T *from, T *to, int64_t size, const Dimensions &walk) {
  for (int64_t i = gridThread(); i < size; i += gridThreads()) {
    int64_t rest = i, atFrom = 0, atTo = 0;
    for (int d = walk.rank - 1; d > 0; d--) {
      const int64_t index = rest % walk.sizes[d];
      rest /= walk.sizes[d];
      atFrom += index * walk.first[d];
      atTo += index * walk.second[d];
    }
    to[atTo + rest * walk.second[0]] = from[atFrom + rest * walk.first[0]];
  }
}
VWN_ENTRY(copyStrided, of1, uint8_t, (const real *from, real *to, int64_t size, Dimensions walk), (from, to, size, walk))
VWN_ENTRY(copyStrided, of2, uint16_t, (const real *from, real *to, int64_t size, Dimensions walk), (from, to, size, walk))
VWN_ENTRY(copyStrided, of4, uint32_t, (const real *from, real *to, int64_t size, Dimensions walk), (from, to, size, walk))

}  // namespace
}  // namespace cuda
}  // namespace vwn
