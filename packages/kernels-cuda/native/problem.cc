#include "problem.h"

#include <new>
#include <stdexcept>

#include "device-memory.h"
#include "runtime.h"

namespace vwn {
namespace cuda {
namespace {

constexpr int problems = static_cast<int>(Problem::count);
constexpr const char *texts[problems] = {
    "a token id is outside the table, and must be 0 … rows − 1; check that the tokenizer belongs to the model",
    "a target is outside the vocabulary, and must be 0 … V − 1 or the ignored index; check that the tokenizer belongs to the model",
    "offsets do not share out the rows of x, and must be numbers that rise from 0 to the number of rows; sort rows by group: "
    "offsets[e] is the first row of group e, the last offset their number",
    "offsets or rows do not share out the tokens, and must be offsets that rise from 0 to the number of rows, and rows below it",
    "causal_attention_grad: a block of the GPU has waited for seconds for one that should have run before it; run again with "
    "VWN_CUDA_WARPGROUPS=0, which needs no such order"};
int32_t *flags = nullptr;

}  // namespace

int32_t *problemFlag(Problem problem) {
  if (!flags) {
    flags = static_cast<int32_t *>(allocateOnDevice(sizeof(int32_t) * problems));
    if (!flags) throw std::bad_alloc();
    zero(flags, sizeof(int32_t) * problems);
  }
  return flags + static_cast<int>(problem);
}

void throwProblems() {
  if (!flags) return;
  int32_t found[problems];
  copyFromDevice(found, flags, sizeof found);
  for (int i = 0; i < problems; i++)
    if (found[i]) {
      zero(flags, sizeof found);
      throw std::runtime_error(texts[i]);
    }
}

}  // namespace cuda
}  // namespace vwn
