/** Rows of a table, and the gradient of the table. */
#include "call.h"
#include "kernels.h"
#include "rows.h"

namespace vwn {
namespace VWN_ISA {
namespace {

const char *checkIds(const int32_t *ids, int64_t count, int64_t rows) {
  for (int64_t i = 0; i < count; i++)
    if (ids[i] < 0 || ids[i] >= rows) return "a token id is outside the table: ids must be 0 … rows − 1";
  return nullptr;
}

}  // namespace

/** Buffers: table [rows·width] float, ids int32 [count], y [count·width] float. Numbers: rows, width, count. */
const char *embedding_lookup(const vwn_call *raw) {
  Call call(raw, 3, 3);
  const int64_t rows = call.dimension(0), width = call.dimension(1), count = call.dimension(2);
  void *table = call.any(0, {rows, width}), *y = call.any(2, {count, width});
  const int32_t *ids = call.integers(1, count);
  if (call.problem()) return call.problem();
  if (const char *problem = checkIds(ids, count, rows)) return problem;
  return withFloats(table, call.type(0), [&](const auto *from) {
    return withFloats(y, call.type(2), [&](auto *to) {
      parallelRange(count, leastRows(width), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
          const auto *row = from + ids[i] * width;
          auto *out = to + i * width;
          eachVector(
              width, [&](int64_t j) { store(out + j, load(row + j)); },
              [&](int64_t j, int64_t n) { storeFirst(out + j, loadFirst(row + j, n), n); });
        }
      });
      return static_cast<const char *>(nullptr);
    });
  });
}

/** Buffers: ids int32 [count], dy [count·width], dTable float32 [rows·width]. Numbers: rows, width, count. */
const char *embedding_lookup_grad(const vwn_call *raw) {
  Call call(raw, 3, 3);
  const int64_t rows = call.dimension(0), width = call.dimension(1), count = call.dimension(2);
  const int32_t *ids = call.integers(0, count);
  void *dy = call.any(1, {count, width});
  float *dTable = call.floats(2, {rows, width});
  if (call.problem()) return call.problem();
  if (const char *problem = checkIds(ids, count, rows)) return problem;
  parallelRange(rows * width, 65536,
                [&](int64_t begin, int64_t end) { std::memset(dTable + begin, 0, static_cast<size_t>(end - begin) * 4); });
  // Threads share out columns, so that rows of one id are added in the order of tokens whatever their number.
  return withFloats(dy, call.type(1), [&](const auto *from) {
    parallelRange(width, 32 + 262144 / (count + 1), [&](int64_t begin, int64_t end) {
      for (int64_t i = 0; i < count; i++) {
        const auto *row = from + i * width + begin;
        float *out = dTable + ids[i] * width + begin;
        eachVector(
            end - begin, [&](int64_t j) { store(out + j, load(out + j) + load(row + j)); },
            [&](int64_t j, int64_t n) { storeFirst(out + j, loadFirst(out + j, n) + loadFirst(row + j, n), n); });
      }
    });
    return static_cast<const char *>(nullptr);
  });
}

}  // namespace VWN_ISA
}  // namespace vwn
