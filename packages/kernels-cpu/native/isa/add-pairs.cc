/** Sums of many pairs of tensors, most of them small, in one go. */
#include "../workspace.h"
#include "call.h"
#include "kernels.h"
#include "rows.h"
#include "vwn_add_pairs.h"

namespace vwn {
namespace VWN_ISA {

/** See AddPairsArguments. */
const char *add_pairs(const vwn_call *raw) {
  Call call(raw, 0, 1);
  const AddPairsArguments in(call);
  if (in.problem()) return in.problem();
  if (call.problem()) return call.problem();
  parallelFor(static_cast<int64_t>(in.pairs.size()), [&](int64_t index, int) {
    const PairToAdd &pair = in.pairs[static_cast<size_t>(index)];
    addRows(pair.size, pair.first, pair.second, pair.sum);
  });
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
