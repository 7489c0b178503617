/** Setting and converting elements. */
#include "device.h"

namespace vwn {
namespace cuda {
namespace {

template <class T>
VWN_DEVICE void fill(T *to, int64_t size, float value) {
  for (int64_t i = gridThread(); i < size; i += gridThreads()) put(to[i], value);
}
VWN_FLOATS(fill, (real *to, int64_t size, float value), (to, size, value))

}  // namespace
}  // namespace cuda
}  // namespace vwn
