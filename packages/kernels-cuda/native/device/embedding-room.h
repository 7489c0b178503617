/** What the blocks of the table's gradient share; the host asks for as much memory. */
#pragma once
#include <cstdint>

namespace vwn {
namespace cuda {

/** A block's threads, and the ids of tokens that each looks at in one step. */
constexpr int gradThreads = 256, gradWarps = gradThreads / 32, idsOfThread = 16, idsAtOnce = gradThreads * idsOfThread;

struct GradRoom {
  /** What warps tell each other, in two places by turns, so that one barrier is enough. */
  int32_t found[2][gradWarps];
  /** Those of the step that have the word, in their order. */
  int32_t tokens[idsAtOnce];
};

}  // namespace cuda
}  // namespace vwn
