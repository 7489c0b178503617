/** Rows of a table; kernels in device/embedding.cu. Ids outside the table are told of when something is next read back. */
#include <type_traits>

#include "../device/embedding-room.h"
#include "../problem.h"
#include "../runtime.h"
#include "functions.h"
#include "vwn_arguments.h"

namespace vwn {
namespace VWN_ISA {

/** See EmbeddingArguments. */
const char *embedding_lookup(const vwn_call *raw) {
  Call call(raw, 3, 3);
  const EmbeddingArguments in(call);
  if (call.problem()) return call.problem();
  withFloats(in.table.data, in.table.type, [&](auto *table) {
    using T = std::remove_pointer_t<decltype(table)>;
    const int toHalves = in.y.type == VWN_BF16;
    launch(forType("copyRows", in.table.type), {blocksOfEights(in.count * in.width)}, 256, 0, static_cast<const T *>(table),
           in.ids, in.y.data, in.rows, in.width, in.count, toHalves, problemFlag(Problem::tokenId));
  });
  return nullptr;
}

/** See EmbeddingGradArguments. */
const char *embedding_lookup_grad(const vwn_call *raw) {
  Call call(raw, 3, 3);
  const EmbeddingGradArguments in(call);
  if (call.problem()) return call.problem();
  zero(in.dTable, in.rows * in.width * 4);
  withFloats(in.dy.data, in.dy.type, [&](auto *dy) {
    using T = std::remove_pointer_t<decltype(dy)>;
    // By eights where rows begin on 16 bytes.
    const bool isWhole = in.width % 8 == 0 && (reinterpret_cast<uintptr_t>(dy) | reinterpret_cast<uintptr_t>(in.dTable)) % 16 == 0;
    const int columns = isWhole ? 8 : 1;
    launch(forType("addRows", in.dy.type), {in.count, (in.width + gradThreads * columns - 1) / (gradThreads * columns)}, gradThreads,
           sizeof(GradRoom), in.ids,
           static_cast<const T *>(dy), in.dTable, in.rows, in.width, in.count, columns, problemFlag(Problem::tokenId));
  });
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
