#include <new>
#include <stdexcept>

#include "device-memory.h"
#include "runtime.h"

namespace vwn {
namespace cuda {
namespace {

struct Block {
  void *data = nullptr;
  int64_t bytes = 0;
};
Block blocks[static_cast<int>(Slot::count)];
int64_t moves = 0;

}  // namespace

void *scratch(Slot slot, int64_t bytes) {
  Block &block = blocks[static_cast<int>(slot)];
  if (block.bytes >= bytes) return block.data;
  // Work that still reads the old block was asked for before: freeing waits for it.
  if (isMakingGraph()) throw std::runtime_error("scratch memory cannot grow while calls are recorded: run them once before");
  if (block.data) moves++;
  freeOnDevice(block.data);
  block = {};
  block.data = allocateOnDevice(static_cast<size_t>(bytes));
  if (!block.data) throw std::bad_alloc();
  block.bytes = bytes;
  return block.data;
}

int64_t scratchBytes() {
  int64_t sum = 0;
  for (const Block &block : blocks) sum += block.bytes;
  return sum;
}

int64_t scratchMoves() { return moves; }

}  // namespace cuda
}  // namespace vwn
