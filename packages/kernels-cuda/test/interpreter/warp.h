/**
 * What runs: instructions that a whole warp does at once, under a mask of its lanes. A register is an array with a value for each
 * lane, and so are numbers in the text and what a thread knows of itself.
 */
#pragma once
#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "module.h"

namespace vwn {
namespace ptx {

constexpr unsigned lanes = 32;
using Mask = uint32_t;
constexpr Mask allLanes = ~Mask{0};

struct Warp;
struct Block;
struct Instruction;

/** False: the lanes must wait, and try again when something has moved. */
using Step = bool (*)(const Instruction &, Warp &, Mask);

/** Bytes from the start of a warp's registers; of predicates, their number. */
using Slot = int32_t;

/** A register, or a number, as an instruction has it. */
struct Place {
  Slot slot = -1;
  Width width = Width::four;
};

enum class Flow { on, branch, end };

struct Instruction {
  Step step = nullptr;
  /** What `step` ends with, where that makes operands for it first. */
  Step inner = nullptr;
  Place to, a, b, c;
  /** Predicate under which it is done, and whether under its opposite; -1: always. */
  Slot guard = -1;
  bool isGuardNegated = false;
  Flow flow = Flow::on;
  uint32_t target = 0;
  /** Of an address; else whatever number the instruction has in its name. */
  int64_t number = 0;
  /** Of memory: bytes of one element, and whether its sign is extended. */
  uint32_t bytes = 0;
  bool isSigned = false, isFlag = false;
  /** Lists in the order in which they are written, one after the other. */
  std::vector<Place> list;
  const Statement *statement = nullptr;
};

/** What of a launch a program's registers begin with. */
struct Special {
  Slot slot;
  std::string name;
};
struct Constant {
  Slot slot;
  Width width;
  uint64_t bits;
};

struct Parameter {
  size_t at, bytes;
};

/** A kernel whose names have become places. */
struct Program {
  std::string name;
  std::vector<Instruction> code;
  std::vector<Constant> constants;
  std::vector<Special> specials;
  std::vector<Parameter> parameters;
  size_t parameterBytes = 0, localBytes = 0, sharedBytes = 0, registerBytes = 0;
  Slot predicates = 0;
  unsigned mostThreads = 1024, cluster = 1;
  /** How often each instruction was done, by warps or parts of them. */
  mutable std::vector<uint64_t> counts;
  /** Owns what the instructions' statements are. */
  Function function;
};

/** Lanes that stand at one instruction. */
struct Path {
  uint32_t at;
  Mask mask;
  bool waits = false;
};

/** A copy to shared memory that has been asked for and is not there yet. */
struct Copy {
  unsigned lane;
  unsigned char *to;
  const unsigned char *from;
  uint32_t bytes, ofSource;
  uint32_t group;
};

/** A register that products by the warpgroup add to: what it will hold, and the last product that does. */
struct Pending {
  std::array<float, lanes> values;
  size_t last;
};

struct Warp {
  Block *block;
  unsigned index;
  Mask alive = allLanes;
  std::vector<Path> paths;
  std::vector<unsigned char> registers;
  std::vector<Mask> predicates;
  std::vector<unsigned char> local;
  Mask carry = 0;
  /** Whether this warp has come to its block's barrier, and to its cluster's, and in which turn of these. */
  bool isAtBarrier = false, isInCluster = false;
  uint64_t barrierTurn = 0, clusterTurn = 0;
  std::vector<Copy> copies;
  std::array<uint32_t, lanes> copyGroups{};
  /** Products by the warpgroup that this warp has asked for, group by group; since when they may begin. */
  size_t products = 0, productsDone = 0;
  std::vector<size_t> productGroups;
  bool mayMultiply = false;
  std::map<Slot, Pending> pending;

  template <class T>
  T *at(Slot slot) {
    return reinterpret_cast<T *>(registers.data() + slot);
  }
};

/** Whether these are all lanes of a warp that still run, as some instructions need. */
inline bool isWhole(const Warp &warp, Mask mask) { return mask == warp.alive; }

}  // namespace ptx
}  // namespace vwn
