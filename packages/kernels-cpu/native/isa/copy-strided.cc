/** Copies between two strided views: slice, transpose, concat, pad and repeat are one kernel. */
#include "call.h"
#include "kernels.h"
#include "rows.h"

namespace vwn {
namespace VWN_ISA {
namespace {

constexpr int maximumRank = 8;

struct View {
  int rank;
  int64_t dims[maximumRank], from[maximumRank], to[maximumRank];
};

/** Rows along the last dimension, of any element that is copied as it is. */
template <class T>
void copyRows(const View &view, const T *from, T *to, int64_t begin, int64_t end) {
  const int last = view.rank - 1;
  const int64_t count = view.dims[last], stepFrom = view.from[last], stepTo = view.to[last];
  for (int64_t index = begin; index < end; index++) {
    int64_t rest = index, atFrom = 0, atTo = 0;
    for (int d = last - 1; d >= 0; d--) {
      const int64_t i = rest % view.dims[d];
      rest /= view.dims[d];
      atFrom += i * view.from[d];
      atTo += i * view.to[d];
    }
    if (stepFrom == 1 && stepTo == 1) std::memcpy(to + atTo, from + atFrom, static_cast<size_t>(count) * sizeof(T));
    else
      for (int64_t i = 0; i < count; i++) to[atTo + i * stepTo] = from[atFrom + i * stepFrom];
  }
}

/** Smallest and largest offset of a view, from its strides (which may be 0 or negative). */
bool within(const View &view, const int64_t *strides, int64_t offset, int64_t size) {
  int64_t least = offset, most = offset;
  for (int d = 0; d < view.rank; d++) {
    int64_t span, &end = strides[d] < 0 ? least : most;
    if (__builtin_mul_overflow(view.dims[d] - 1, strides[d], &span) || __builtin_add_overflow(end, span, &end)) return false;
  }
  return least >= 0 && most < size;
}

template <class T>
void copyAll(const View &view, int64_t rows, const void *from, int64_t offsetFrom, void *to, int64_t offsetTo) {
  const T *source = static_cast<const T *>(from) + offsetFrom;
  T *target = static_cast<T *>(to) + offsetTo;
  parallelRange(rows, leastRows(view.dims[view.rank - 1]),
                [&](int64_t begin, int64_t end) { copyRows(view, source, target, begin, end); });
}

}  // namespace

/**
 * Buffers: x, y, of one type and any size. Elements of y that the view does not reach stay as they are.
 * Numbers: rank (1 … 8), offset in x, offset in y, then for each dimension its size, stride in x, stride in y.
 */
const char *copy_strided(const vwn_call *raw) {
  Call call(raw, 2, 6);
  void *x = call.any(0, call.size(0)), *y = call.any(1, call.size(1));
  View view{call.integer(0) <= maximumRank ? static_cast<int>(call.integer(0)) : 0, {}, {}, {}};
  if (call.problem()) return call.problem();
  if (view.rank < 1 || raw->number_count < 3 + 3 * view.rank)
    return "copy_strided: 1 to 8 dimensions are needed";
  if (call.type(0) != call.type(1)) return "copy_strided: both buffers must be of one type";
  int64_t rows = 1;
  for (int d = 0; d < view.rank; d++) {
    view.dims[d] = call.dimension(3 + 3 * d);
    view.from[d] = call.integer(4 + 3 * d);
    view.to[d] = call.integer(5 + 3 * d);
    if (d < view.rank - 1) rows = Call::product({rows, view.dims[d]});
  }
  if (call.problem()) return call.problem();
  if (rows < 0) return "copy_strided: the view is too large";
  if (rows == 0 || view.dims[view.rank - 1] == 0) return nullptr;
  const int64_t offsetFrom = call.integer(1), offsetTo = call.integer(2);
  if (!within(view, view.from, offsetFrom, call.size(0)) || !within(view, view.to, offsetTo, call.size(1)))
    return "copy_strided: the view leaves its buffer";
  const int32_t type = call.type(0);
  if (type == VWN_BF16) copyAll<uint16_t>(view, rows, x, offsetFrom, y, offsetTo);
  else if (type == VWN_U8) copyAll<uint8_t>(view, rows, x, offsetFrom, y, offsetTo);
  else copyAll<uint32_t>(view, rows, x, offsetFrom, y, offsetTo);
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
