#include "workspace.h"

#include "memory.h"
#include "threads.h"

namespace vwn {
namespace {

struct Block {
  void *data = nullptr;
  int64_t bytes = 0;
};
Block blocks[static_cast<int>(Slot::count)];

int64_t rounded(int64_t bytes) { return (bytes + 4095) / 4096 * 4096; }

}  // namespace

void *sharedScratch(Slot slot, int64_t bytes) {
  Block &block = blocks[static_cast<int>(slot)];
  if (bytes <= block.bytes && block.data) return block.data;
  freeBlock(block.data, static_cast<size_t>(block.bytes));
  const int64_t wanted = rounded(bytes < 4096 ? 4096 : bytes);
  block.data = allocateBlock(static_cast<size_t>(wanted));
  block.bytes = block.data ? wanted : 0;
  return block.data;
}

ThreadScratch threadScratch(Slot slot, int64_t bytesEach) {
  // One page more, so that the threads' parts do not fall on the same cache sets.
  const int64_t stride = rounded(bytesEach) + 4096 + 64;
  return {static_cast<char *>(sharedScratch(slot, stride * threadCount() + 4096)), stride};
}

int64_t scratchBytes() {
  int64_t total = 0;
  for (const Block &block : blocks) total += block.bytes;
  return total;
}

}  // namespace vwn
