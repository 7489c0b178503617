/**
 * Copies that a thread does not wait for: cp.async. They are made as late as the ISA allows, when their group is waited for; until
 * then what they write is NaN, and so a missing wait shows.
 */
#include <algorithm>

#include "addresses.h"
#include "assembler.h"

namespace vwn {
namespace ptx {
namespace {

/** cp.async [to], [from], bytes, bytes of the source: behind these, zeros. */
bool ask(const Instruction &in, Warp &warp, Mask mask) {
  for (unsigned lane = 0; lane < lanes; lane++) {
    if (!(mask >> lane & 1)) continue;
    unsigned char *to = hostAddress(warp, lane, Space::shared, addressOf(in, warp, in.a, lane), in.bytes);
    const uint32_t ofSource = in.c.slot < 0 ? in.bytes : warp.at<uint32_t>(in.c.slot)[lane];
    if (ofSource > in.bytes) throw std::runtime_error("lane " + std::to_string(lane) + " copies more than the copy has");
    const uint64_t address = warp.at<uint64_t>(in.b.slot)[lane] + static_cast<uint64_t>(static_cast<int32_t>(in.target));
    const unsigned char *from = ofSource == 0 ? nullptr : hostAddress(warp, lane, Space::global, address, in.bytes);
    std::memset(to, 0xff, in.bytes);
    warp.copies.push_back({lane, to, from, in.bytes, ofSource, warp.copyGroups[lane]});
  }
  return true;
}

bool commit(const Instruction &, Warp &warp, Mask mask) {
  for (unsigned lane = 0; lane < lanes; lane++) warp.copyGroups[lane] += mask >> lane & 1;
  return true;
}

/** All groups of these lanes but for the last `number`. */
bool await(const Instruction &in, Warp &warp, Mask mask) {
  const auto isDue = [&](const Copy &copy) { return (mask >> copy.lane & 1) && copy.group + static_cast<uint64_t>(in.number) < warp.copyGroups[copy.lane]; };
  for (const Copy &copy : warp.copies) {
    if (!isDue(copy)) continue;
    std::memset(copy.to, 0, copy.bytes);
    if (copy.from) std::memcpy(copy.to, copy.from, copy.ofSource);
  }
  std::erase_if(warp.copies, isDue);
  return true;
}

bool nothing(const Instruction &, Warp &, Mask) { return true; }

}  // namespace

bool assembleCopy(const Opcode &opcode, const Statement &statement, Assembler &assembler, Instruction &in) {
  if (opcode.base == "fence" || opcode.base == "membar") return in.step = nothing, true;
  if (opcode.base != "cp" || !opcode.has("async")) return false;
  if (opcode.has("commit_group")) return in.step = commit, true;
  if (opcode.has("wait_group") || opcode.has("wait_all")) {
    in.number = opcode.has("wait_all") ? 0 : static_cast<int64_t>(statement.operands.at(0).bits);
    return in.step = await, true;
  }
  in.step = ask;
  in.b = assembler.baseOf(statement.operands.at(1), in);
  in.target = static_cast<uint32_t>(in.number);
  in.a = assembler.baseOf(statement.operands.at(0), in);
  in.bytes = static_cast<uint32_t>(statement.operands.at(2).bits);
  const bool isSize = in.bytes == 16 || (opcode.has("ca") && (in.bytes == 4 || in.bytes == 8));
  if (!isSize || in.b.width != Width::eight) assembler.refuse(statement, "has a size or an address that it cannot have");
  if (statement.operands.size() > 3) in.c = assembler.placeOf(statement.operands[3], Width::four);
  return true;
}

}  // namespace ptx
}  // namespace vwn
