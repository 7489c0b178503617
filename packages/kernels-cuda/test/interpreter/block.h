/** Blocks of threads that run at once, their memory, and what a launch is. */
#pragma once
#include <deque>
#include <memory>

#include "device-ranges.h"
#include "warp.h"

namespace vwn {
namespace ptx {

struct Index {
  unsigned x = 1, y = 1, z = 1;
};

struct Launch {
  const Program *program;
  Index grid;
  unsigned threads;
  size_t sharedBytes;
  /** The kernel's arguments as its parameters lie. */
  std::vector<unsigned char> arguments;
  const DeviceRanges *memory;
};

/** A block's own shared memory begins at this address: below it is the system's. */
constexpr uint64_t sharedBegin = 1024;

/** Products that the four warps of a group have asked for together, one of them after the other. */
struct GroupProduct {
  const Instruction *instruction;
  std::array<bool, 4> isAsked{};
  std::array<uint64_t, 4> a{}, b{};
  std::array<bool, 4> adds{};
  bool isDone = false;
};

struct Cluster;

struct Block {
  const Launch *launch;
  Cluster *cluster;
  Index at;
  unsigned rank;
  std::vector<unsigned char> shared;
  std::vector<std::unique_ptr<Warp>> warps;
  size_t atBarrier = 0;
  uint64_t turn = 0;
  /** By the number of the warpgroup. */
  std::vector<std::deque<GroupProduct>> products;
  bool isEnded = false;
};

struct Cluster {
  std::vector<std::unique_ptr<Block>> blocks;
  size_t warps = 0, atBarrier = 0;
  uint64_t turn = 0;
  /** Counts whatever may let a waiting warp go on. */
  uint64_t moves = 0;
};

/** Runs a grid to its end. @throws std::runtime_error naming the kernel, the block and the line */
void run(const Launch &launch);

}  // namespace ptx
}  // namespace vwn
