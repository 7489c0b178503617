/** Root mean square norm of rows or of groups within rows, alone and behind a residual sum, forward and backward. */
#include "../workspace.h"
#include "call.h"
#include "kernels.h"
#include "norm-rows.h"
#include "rows.h"
#include "vwn_arguments.h"

namespace vwn {
namespace VWN_ISA {

namespace {

/** Calls body(row, sums) for all rows; dWeight [width] is the sum of what the parts have added to their `sums`. */
template <class Body>
const char *rowsWithWeightGradient(int64_t rows, int64_t width, float *dWeight, const Body &body) {
  const int64_t parts = threadCount();
  float *partial = static_cast<float *>(sharedScratch(Slot::partial, parts * width * 4));
  if (!partial) return outOfMemory;
  parallelFor(parts, [&](int64_t index, int) {
    const Range range = part(rows, parts, index);
    float *sums = partial + index * width;
    std::memset(sums, 0, static_cast<size_t>(width) * 4);
    for (int64_t row = range.begin; row < range.end; row++) body(row, sums);
  });
  for (int64_t i = 0; i < width; i++) {
    float total = 0;
    for (int64_t index = 0; index < parts; index++) total += partial[index * width + i];
    dWeight[i] = total;
  }
  return nullptr;
}

}  // namespace

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
  return withFloats(in.dx, in.x.type, [&](auto *dx) {
    using T = std::remove_pointer_t<decltype(dx)>;
    const T *x = static_cast<const T *>(in.x.data), *dy = static_cast<const T *>(in.dy);
    return rowsWithWeightGradient(in.rows, in.width, in.dWeight, [&](int64_t row, float *sums) {
      for (int64_t g = 0; g < in.groups; g++) {
        const int64_t at = row * in.width + g * in.size;
        normRowGrad({in.size, in.size, in.eps}, x + at, in.weight + g * in.size, dy + at, dx + at, sums + g * in.size);
      }
    });
  });
}

/** See ResidualStepArguments. */
const char *residual_step(const vwn_call *raw) {
  Call call(raw, 5, 3);
  const ResidualStepArguments in(call);
  if (call.problem()) return call.problem();
  return withFloats(in.next, in.h.type, [&](auto *next) {
    using T = std::remove_pointer_t<decltype(next)>;
    const T *h = static_cast<const T *>(in.h.data), *out = static_cast<const T *>(in.out);
    T *x = static_cast<T *>(in.x);
    const NormedRow normed{in.size, in.size, in.eps};
    parallelRange(in.rows, leastRows(in.size), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) {
        const int64_t at = row * in.size;
        addRows(in.size, h + at, out + at, next + at);
        normRow(normed, next + at, in.weight, x + at);
      }
    });
    return static_cast<const char *>(nullptr);
  });
}

/** See ResidualStepGradArguments. */
const char *residual_step_grad(const vwn_call *raw) {
  Call call(raw, 6, 3);
  const ResidualStepGradArguments in(call);
  if (call.problem()) return call.problem();
  return withFloats(in.dh, in.next.type, [&](auto *dh) {
    using T = std::remove_pointer_t<decltype(dh)>;
    const T *next = static_cast<const T *>(in.next.data), *dNext = static_cast<const T *>(in.dNext), *dx = static_cast<const T *>(in.dx);
    return rowsWithWeightGradient(in.rows, in.size, in.dWeight, [&](int64_t row, float *sums) {
      const int64_t at = row * in.size;
      normRowGrad({in.size, in.size, in.eps}, next + at, in.weight, dx + at, dh + at, sums, Beside<T>{dNext + at});
    });
  });
}

}  // namespace VWN_ISA
}  // namespace vwn
