/** Where addresses of PTX lie in the host's memory. PTX ISA, "State Spaces", "Generic Addressing". */
#pragma once
#include "block.h"

namespace vwn {
namespace ptx {

enum class Space { global, shared, local, parameter, any };

/** What generic addresses of a block's shared memory and of a thread's local memory begin with: no host address has these bits. */
constexpr uint64_t sharedWindow = uint64_t{1} << 60, localWindow = uint64_t{1} << 61;
/** An address in the shared memory of another block of the cluster: its number and one above these bits. */
constexpr int clusterShift = 24;

/** @throws std::runtime_error where that is outside of what the thread may touch, or not aligned as one access must be */
unsigned char *hostAddress(Warp &warp, unsigned lane, Space space, uint64_t address, size_t bytes);

/** An instruction's address in a lane. */
uint64_t addressOf(const Instruction &in, Warp &warp, Place base, unsigned lane);

}  // namespace ptx
}  // namespace vwn
