/** Copies between two strided views, of elements of any type. Threads walk over the view. */
#include "device.h"
#include "walk.h"

namespace vwn {
namespace cuda {
namespace {

template <class T>
VWN_DEVICE void copyStrided(const T *from, T *to, int64_t size, const Dimensions &walk) {
  for (int64_t i = gridThread(); i < size; i += gridThreads()) {
    const Offsets at = offsetsAt(walk, i);
    to[at.second] = from[at.first];
  }
}
VWN_ENTRY(copyStrided, of1, uint8_t, (const real *from, real *to, int64_t size, Dimensions walk), (from, to, size, walk))
VWN_ENTRY(copyStrided, of2, uint16_t, (const real *from, real *to, int64_t size, Dimensions walk), (from, to, size, walk))
VWN_ENTRY(copyStrided, of4, uint32_t, (const real *from, real *to, int64_t size, Dimensions walk), (from, to, size, walk))

}  // namespace
}  // namespace cuda
}  // namespace vwn
