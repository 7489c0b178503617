#include <new>

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

}  // namespace

void *scratch(Slot slot, int64_t bytes) {
  Block &block = blocks[static_cast<int>(slot)];
  if (block.bytes >= bytes) return block.data;
  // Work that still reads the old block was asked for before: freeing waits for it.
  freeOnDevice(block.data);
  block = {allocateOnDevice(static_cast<size_t>(bytes)), bytes};
  if (block.data) return block.data;
  block.bytes = 0;
  throw std::bad_alloc();
}

int64_t scratchBytes() {
  int64_t sum = 0;
  for (const Block &block : blocks) sum += block.bytes;
  return sum;
}

}  // namespace cuda
}  // namespace vwn
