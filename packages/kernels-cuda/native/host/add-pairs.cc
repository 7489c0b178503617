/** Sums of many pairs of tensors; kernels in device/add-pairs.cu. */
#include "../device/tensor-lists.h"
#include "../runtime.h"
#include "functions.h"
#include "vwn_add_pairs.h"

namespace vwn {
namespace VWN_ISA {

/** See AddPairsArguments. */
const char *add_pairs(const vwn_call *raw) {
  Call call(raw, 0, 1);
  const AddPairsArguments in(call);
  if (in.problem()) return in.problem();
  if (call.problem()) return call.problem();
  const int count = static_cast<int>(in.pairs.size());
  for (int from = 0; from < count; from += tensorsOfLaunch) {
    Pairs pairs{};
    const int here = count - from < tensorsOfLaunch ? count - from : tensorsOfLaunch;
    int64_t largest = 0;
    for (int i = 0; i < here; i++) {
      const PairToAdd &pair = in.pairs[static_cast<size_t>(from + i)];
      pairs.first[i] = pair.first, pairs.second[i] = pair.second, pairs.sums[i] = pair.sum, pairs.sizes[i] = pair.size;
      if (pair.size > largest) largest = pair.size;
    }
    launch("addPairs_f32", {blocksFor((largest + 7) / 8, 256, 1024), here}, 256, 0, pairs);
  }
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
