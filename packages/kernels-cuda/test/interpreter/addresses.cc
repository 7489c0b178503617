#include "addresses.h"

namespace vwn {
namespace ptx {
namespace {

std::string inHex(uint64_t number) {
  char text[20];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(number));
  return text;
}

[[noreturn]] void refuse(unsigned lane, const char *space, uint64_t address, size_t bytes, const std::string &why) {
  throw std::runtime_error("lane " + std::to_string(lane) + " touches " + std::to_string(bytes) + " bytes at " + inHex(address) + " of " + space +
                           " memory, " + why);
}

unsigned char *inShared(Warp &warp, unsigned lane, uint64_t address, size_t bytes) {
  const uint64_t rank = address >> clusterShift, offset = address & ((uint64_t{1} << clusterShift) - 1);
  Block *block = warp.block;
  if (rank > block->cluster->blocks.size()) refuse(lane, "shared", address, bytes, "of a block that is not in the cluster");
  if (rank > 0) block = block->cluster->blocks[rank - 1].get();
  if (block->isEnded) refuse(lane, "shared", address, bytes, "of a block that has ended");
  if (offset < sharedBegin || offset + bytes > sharedBegin + block->shared.size())
    refuse(lane, "shared", address, bytes, "where the block has " + std::to_string(block->shared.size()) + " from " + inHex(sharedBegin) + " on");
  return block->shared.data() + (offset - sharedBegin);
}

unsigned char *inLocal(Warp &warp, unsigned lane, uint64_t address, size_t bytes) {
  const size_t own = warp.local.size() / lanes;
  if (address + bytes > own) refuse(lane, "local", address, bytes, "where a thread has " + std::to_string(own));
  return warp.local.data() + own * lane + address;
}

unsigned char *inParameters(Warp &warp, unsigned lane, uint64_t address, size_t bytes) {
  const std::vector<unsigned char> &arguments = warp.block->launch->arguments;
  if (address + bytes > arguments.size()) refuse(lane, "parameter", address, bytes, "where the kernel has " + std::to_string(arguments.size()));
  return const_cast<unsigned char *>(arguments.data()) + address;
}

unsigned char *inGlobal(Warp &warp, unsigned lane, uint64_t address, size_t bytes) {
  if (!warp.block->launch->memory->has(address, bytes)) refuse(lane, "global", address, bytes, "which is not allocated");
  return reinterpret_cast<unsigned char *>(address);
}

}  // namespace

unsigned char *hostAddress(Warp &warp, unsigned lane, Space space, uint64_t address, size_t bytes) {
  if (address % bytes != 0) refuse(lane, "its", address, bytes, "which is not aligned");
  switch (space) {
    case Space::global: return inGlobal(warp, lane, address, bytes);
    case Space::shared: return inShared(warp, lane, address & 0xffffffffu, bytes);
    case Space::local: return inLocal(warp, lane, address, bytes);
    case Space::parameter: return inParameters(warp, lane, address, bytes);
    default: break;
  }
  if (address & sharedWindow) return inShared(warp, lane, address ^ sharedWindow, bytes);
  if (address & localWindow) return inLocal(warp, lane, address ^ localWindow, bytes);
  return inGlobal(warp, lane, address, bytes);
}

uint64_t addressOf(const Instruction &in, Warp &warp, Place base, unsigned lane) {
  const uint64_t offset = static_cast<uint64_t>(in.number);
  if (base.slot < 0) return offset;
  if (base.width == Width::four) return (warp.at<uint32_t>(base.slot)[lane] + offset) & 0xffffffffu;
  return warp.at<uint64_t>(base.slot)[lane] + offset;
}

}  // namespace ptx
}  // namespace vwn
