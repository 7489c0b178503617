/** Rows of a table, and the gradient of the table. */
#include "call.h"
#include "kernels.h"
#include "rows.h"
#include "vwn_arguments.h"

namespace vwn {
namespace VWN_ISA {
namespace {

const char *checkIds(Call &call, const int32_t *ids, int64_t count, int64_t rows) {
  for (int64_t i = 0; i < count && !call.problem(); i++)
    if (ids[i] < 0 || ids[i] >= rows)
      call.fail("token id %d is outside the table of %lld rows, and must be 0 … %lld; check that the tokenizer belongs to the model",
                ids[i], static_cast<long long>(rows), static_cast<long long>(rows - 1));
  return call.problem();
}

/** Rows of a table lie anywhere: the processor asks for none before it is told of them, this many tokens ahead. */
constexpr int64_t tokensAhead = 8;
template <class T>
VWN_INLINE void askForRow(const T *row, int64_t width) {
  constexpr int64_t ofLine = 64 / static_cast<int64_t>(sizeof(T));
  for (int64_t j = 0; j < width; j += ofLine) __builtin_prefetch(row + j);
}

}  // namespace

/** See EmbeddingArguments. */
const char *embedding_lookup(const vwn_call *raw) {
  Call call(raw, 3, 3);
  const EmbeddingArguments in(call);
  const int64_t width = in.width;
  if (call.problem()) return call.problem();
  if (const char *problem = checkIds(call, in.ids, in.count, in.rows)) return problem;
  return withFloats(in.table.data, in.table.type, [&](const auto *from) {
    return withFloats(in.y.data, in.y.type, [&](auto *to) {
      parallelRange(in.count, leastRows(width), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
          if (i + tokensAhead < end) askForRow(from + in.ids[i + tokensAhead] * width, width);
          const auto *row = from + in.ids[i] * width;
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

/** See EmbeddingGradArguments. */
const char *embedding_lookup_grad(const vwn_call *raw) {
  Call call(raw, 3, 3);
  const EmbeddingGradArguments in(call);
  if (call.problem()) return call.problem();
  if (const char *problem = checkIds(call, in.ids, in.count, in.rows)) return problem;
  parallelRange(in.rows * in.width, 65536, [&](int64_t begin, int64_t end) {
    std::memset(in.dTable + begin, 0, static_cast<size_t>(end - begin) * 4);
  });
  // Threads share out columns, so that rows of one id are added in the order of tokens whatever their number.
  return withFloats(in.dy.data, in.dy.type, [&](const auto *from) {
    parallelRange(in.width, 32 + 262144 / (in.count + 1), [&](int64_t begin, int64_t end) {
      for (int64_t i = 0; i < in.count; i++) {
        if (i + tokensAhead < in.count) askForRow(in.dTable + in.ids[i + tokensAhead] * in.width + begin, end - begin);
        const auto *row = from + i * in.width + begin;
        float *out = in.dTable + in.ids[i] * in.width + begin;
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
