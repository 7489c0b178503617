/** Rows of a table; kernels in device/embedding.cu. Ids outside the table are told of when something is next read back. */
#include <type_traits>

#include "../problem.h"
#include "../runtime.h"
#include "functions.h"
#include "vwn_call.h"

namespace vwn {
namespace VWN_ISA {

/** Buffers: table [rows·width] float, ids int32 [count], y [count·width] float. Numbers: rows, width, count. */
const char *embedding_lookup(const vwn_call *raw) {
  Call call(raw, 3, 3);
  const int64_t rows = call.dimension(0), width = call.dimension(1), count = call.dimension(2);
  void *table = call.reals(0, {rows, width}), *y = call.reals(2, {count, width});
  const int32_t *ids = call.integers(1, count);
  if (call.problem()) return call.problem();
  withFloats(table, call.type(0), [&](auto *from) {
    using T = std::remove_pointer_t<decltype(from)>;
    const int toHalves = call.type(2) == VWN_BF16;
    launch(forType("copyRows", call.type(0)), {blocksFor(count * width)}, 256, 0, static_cast<const T *>(from), ids, y, rows,
           width, count, toHalves, problemFlag(Problem::tokenId));
  });
  return nullptr;
}

/** Buffers: ids int32 [count], dy [count·width], dTable float32 [rows·width]. Numbers: rows, width, count. */
const char *embedding_lookup_grad(const vwn_call *raw) {
  Call call(raw, 3, 3);
  const int64_t rows = call.dimension(0), width = call.dimension(1), count = call.dimension(2);
  const int32_t *ids = call.integers(0, count);
  void *dy = call.reals(1, {count, width});
  float *dTable = call.floats(2, {rows, width});
  if (call.problem()) return call.problem();
  zero(dTable, rows * width * 4);
  withFloats(dy, call.type(1), [&](auto *from) {
    using T = std::remove_pointer_t<decltype(from)>;
    launch(forType("addRows", call.type(1)), {count, (width + 255) / 256}, 256, 128, ids, static_cast<const T *>(from),
           dTable, rows, width, count, problemFlag(Problem::tokenId));
  });
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
