/** Root mean square norm of rows or of groups within rows, forward and backward. */
#include "../workspace.h"
#include "call.h"
#include "kernels.h"
#include "norm-rows.h"
#include "rows.h"
#include "vwn_arguments.h"

namespace vwn {
namespace VWN_ISA {

/** See RmsNormArguments. */
const char *rms_norm(const vwn_call *raw) {
  Call call(raw, 3, 4);
  const RmsNormArguments in(call);
  if (call.problem()) return call.problem();
  return withFloats(in.y, in.x.type, [&](auto *y) {
    using T = std::remove_pointer_t<decltype(y)>;
    const T *x = static_cast<const T *>(in.x.data);
    parallelRange(in.rows, leastRows(in.width), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++)
        for (int64_t g = 0; g < in.groups; g++) {
          const int64_t at = row * in.width + g * in.size;
          normRow({in.size, in.size, in.eps}, x + at, in.weight + g * in.size, y + at);
        }
    });
    return static_cast<const char *>(nullptr);
  });
}

/** See RmsNormGradArguments. */
const char *rms_norm_grad(const vwn_call *raw) {
  Call call(raw, 5, 4);
  const RmsNormGradArguments in(call);
  if (call.problem()) return call.problem();
  const int64_t parts = threadCount();
  float *partial = static_cast<float *>(sharedScratch(Slot::partial, parts * in.width * 4));
  if (!partial) return outOfMemory;
  return withFloats(in.dx, in.x.type, [&](auto *dx) {
    using T = std::remove_pointer_t<decltype(dx)>;
    const T *x = static_cast<const T *>(in.x.data), *dy = static_cast<const T *>(in.dy);
    parallelFor(parts, [&](int64_t index, int) {
      const Range range = part(in.rows, parts, index);
      float *sums = partial + index * in.width;
      std::memset(sums, 0, static_cast<size_t>(in.width) * 4);
      for (int64_t row = range.begin; row < range.end; row++)
        for (int64_t g = 0; g < in.groups; g++) {
          const int64_t at = row * in.width + g * in.size;
          normRowGrad({in.size, in.size, in.eps}, x + at, in.weight + g * in.size, dy + at, dx + at, sums + g * in.size);
        }
    });
    for (int64_t i = 0; i < in.width; i++) {
      float total = 0;
      for (int64_t index = 0; index < parts; index++) total += partial[index * in.width + i];
      in.dWeight[i] = total;
    }
    return static_cast<const char *>(nullptr);
  });
}

}  // namespace VWN_ISA
}  // namespace vwn
