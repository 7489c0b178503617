/** Copies between two strided views; kernels in device/layout.cu. */
#include "../runtime.h"
#include "functions.h"
#include "walk.h"

namespace vwn {
namespace VWN_ISA {
namespace {

template <class T>
void copyAll(const char *kernel, const void *from, int64_t offsetFrom, void *to, int64_t offsetTo, int64_t size,
             const Dimensions &walk) {
  launch(kernel, {blocksFor(size)}, 256, 0, static_cast<const T *>(from) + offsetFrom, static_cast<T *>(to) + offsetTo,
         size, walk);
}

}  // namespace

/**
 * Buffers: x, y, of one type and any size. Elements of y that the view does not reach stay as they are.
 * Numbers: rank (1 … 8), offset in x, offset in y, then for each dimension its size, stride in x, stride in y.
 */
const char *copy_strided(const vwn_call *raw) {
  Call call(raw, 2, 6);
  void *x = call.any(0, call.size(0)), *y = call.any(1, call.size(1));
  if (call.problem()) return call.problem();
  Dimensions walk{};
  if (!readWalk(call, 0, 3, walk)) return "copy_strided: 1 to 8 dimensions are needed";
  if (call.type(0) != call.type(1)) return "copy_strided: both buffers must be of one type";
  if (call.problem()) return call.problem();
  const int64_t size = sizeOf(walk), offsetFrom = call.integer(1), offsetTo = call.integer(2);
  if (size < 0) return "copy_strided: the view is too large";
  if (size == 0) return nullptr;
  if (!isWithin(walk, walk.first, offsetFrom, call.size(0)) || !isWithin(walk, walk.second, offsetTo, call.size(1)))
    return "copy_strided: the view leaves its buffer";
  const int32_t type = call.type(0);
  if (type == VWN_BF16) copyAll<uint16_t>("copyStrided_of2", x, offsetFrom, y, offsetTo, size, walk);
  else if (type == VWN_U8) copyAll<uint8_t>("copyStrided_of1", x, offsetFrom, y, offsetTo, size, walk);
  else copyAll<uint32_t>("copyStrided_of4", x, offsetFrom, y, offsetTo, size, walk);
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
