/** Loads, stores, addresses, and moves between registers of different widths. PTX ISA, "Data Movement and Conversion Instructions". */
#include "addresses.h"
#include "assembler.h"
#include "forms.h"

namespace vwn {
namespace ptx {
namespace {

/** A lane's register of any width. */
void put(Warp &warp, Place place, unsigned lane, uint64_t bits) {
  if (place.width == Width::eight) warp.at<uint64_t>(place.slot)[lane] = bits;
  else if (place.width == Width::four) warp.at<uint32_t>(place.slot)[lane] = static_cast<uint32_t>(bits);
  else warp.at<uint16_t>(place.slot)[lane] = static_cast<uint16_t>(bits);
}
uint64_t get(Warp &warp, Place place, unsigned lane) {
  if (place.width == Width::eight) return warp.at<uint64_t>(place.slot)[lane];
  if (place.width == Width::four) return warp.at<uint32_t>(place.slot)[lane];
  return warp.at<uint16_t>(place.slot)[lane];
}

template <Space space>
bool loadStep(const Instruction &in, Warp &warp, Mask mask) {
  for (unsigned lane = 0; lane < lanes; lane++) {
    if (!(mask >> lane & 1)) continue;
    const unsigned char *from = hostAddress(warp, lane, space, addressOf(in, warp, in.a, lane), in.bytes * in.list.size());
    for (const Place place : in.list) {
      uint64_t bits = 0;
      std::memcpy(&bits, from, in.bytes);
      const unsigned spare = 64 - 8 * in.bytes;
      if (in.isSigned) bits = static_cast<uint64_t>(static_cast<int64_t>(bits << spare) >> spare);
      put(warp, place, lane, bits);
      from += in.bytes;
    }
  }
  return true;
}

template <Space space>
bool storeStep(const Instruction &in, Warp &warp, Mask mask) {
  for (unsigned lane = 0; lane < lanes; lane++) {
    if (!(mask >> lane & 1)) continue;
    unsigned char *to = hostAddress(warp, lane, space, addressOf(in, warp, in.a, lane), in.bytes * in.list.size());
    for (const Place place : in.list) {
      const uint64_t bits = get(warp, place, lane);
      std::memcpy(to, &bits, in.bytes);
      to += in.bytes;
    }
  }
  return true;
}

struct Steps {
  Step load, store;
};
Steps stepsFor(const Opcode &opcode, bool isOfLocal) {
  if (isOfLocal || opcode.has("local")) return {loadStep<Space::local>, storeStep<Space::local>};
  if (opcode.has("param")) return {loadStep<Space::parameter>, nullptr};
  if (opcode.has("global") || opcode.has("const")) return {loadStep<Space::global>, storeStep<Space::global>};
  if (opcode.has("shared") || opcode.has("shared::cluster")) return {loadStep<Space::shared>, storeStep<Space::shared>};
  return {loadStep<Space::any>, storeStep<Space::any>};
}

/** red.global.add of float32: each lane's numbers to those at its address, one lane after another. */
bool addStep(const Instruction &in, Warp &warp, Mask mask) {
  for (unsigned lane = 0; lane < lanes; lane++) {
    if (!(mask >> lane & 1)) continue;
    unsigned char *at = hostAddress(warp, lane, Space::global, addressOf(in, warp, in.a, lane), in.bytes * in.list.size());
    for (const Place place : in.list) {
      float sum;
      std::memcpy(&sum, at, sizeof sum);
      sum += warp.at<float>(place.slot)[lane];
      std::memcpy(at, &sum, sizeof sum);
      at += in.bytes;
    }
  }
  return true;
}

/** Halves of a register, lowest first, from one or to one. */
bool splitStep(const Instruction &in, Warp &warp, Mask mask) {
  eachLane(mask, [&](unsigned lane) {
    uint64_t bits = get(warp, in.a, lane);
    for (const Place place : in.list) put(warp, place, lane, bits), bits >>= in.bytes * 8;
  });
  return true;
}
bool joinStep(const Instruction &in, Warp &warp, Mask mask) {
  eachLane(mask, [&](unsigned lane) {
    uint64_t bits = 0;
    for (size_t i = in.list.size(); i-- > 0;) bits = bits << in.bytes * 8 | get(warp, in.list[i], lane);
    put(warp, in.to, lane, bits);
  });
  return true;
}

/** Between an address of a space and a generic one; those of device memory are the same. */
bool windowStep(const Instruction &in, Warp &warp, Mask mask) {
  eachLane(mask, [&](unsigned lane) { put(warp, in.to, lane, get(warp, in.a, lane) ^ static_cast<uint64_t>(in.number)); });
  return true;
}

bool mapToBlock(const Instruction &in, Warp &warp, Mask mask) {
  eachLane(mask, [&](unsigned lane) {
    const uint64_t offset = get(warp, in.a, lane) & ((uint64_t{1} << clusterShift) - 1), rank = get(warp, in.b, lane);
    if (rank >= warp.block->cluster->blocks.size()) throw std::runtime_error("lane " + std::to_string(lane) + " asks for block " + std::to_string(rank) + " of a cluster that is smaller");
    put(warp, in.to, lane, (rank + 1) << clusterShift | offset);
  });
  return true;
}

void listOf(const Operand &operand, Width width, Assembler &assembler, Instruction &in) {
  if (operand.kind != Operand::Kind::list) return in.list.push_back(assembler.placeOf(operand, width));
  for (const Operand &part : operand.parts) in.list.push_back(assembler.placeOf(part, width));
}

/** Numbers that are stored have the width of what is stored; two bytes at least. */
void assembleAccess(const Opcode &opcode, const Statement &statement, Assembler &assembler, Instruction &in) {
  const bool isLoad = opcode.base == "ld";
  const Operand &address = statement.operands.at(isLoad ? 1 : 0);
  in.bytes = static_cast<uint32_t>(bytesOf(opcode.type()));
  in.isSigned = opcode.type()[0] == 's';
  in.a = assembler.baseOf(address, in);
  const Steps steps = stepsFor(opcode, assembler.isLocal(address.name));
  in.step = isLoad ? steps.load : steps.store;
  if (!in.step) assembler.refuse(statement, "is not known here");
  listOf(statement.operands.at(isLoad ? 0 : 1), widthOf(opcode.type()), assembler, in);
}

void assembleReduction(const Opcode &opcode, const Statement &statement, Assembler &assembler, Instruction &in) {
  if (!opcode.has("global") || !opcode.has("add") || opcode.type() != "f32") assembler.refuse(statement, "is not known here");
  in.bytes = 4;
  in.a = assembler.baseOf(statement.operands.at(0), in);
  listOf(statement.operands.at(1), Width::four, assembler, in);
  in.step = addStep;
}

}  // namespace

bool assembleMove(const Opcode &opcode, const Statement &statement, Assembler &assembler, Instruction &in) {
  if (opcode.base != "mov") return false;
  const Width width = widthOf(opcode.type());
  const Operand &to = statement.operands.at(0), &from = statement.operands.at(1);
  const bool isSplit = to.kind == Operand::Kind::list;
  const Operand &list = isSplit ? to : from;
  in.bytes = static_cast<uint32_t>(bytesOf(opcode.type()) / list.parts.size());
  listOf(list, in.bytes == 4 ? Width::four : Width::two, assembler, in);
  (isSplit ? in.a : in.to) = assembler.placeOf(isSplit ? from : to, width);
  in.step = isSplit ? splitStep : joinStep;
  return true;
}

bool assembleMemory(const Opcode &opcode, const Statement &statement, Assembler &assembler, Instruction &in) {
  if (opcode.base == "red") return assembleReduction(opcode, statement, assembler, in), true;
  if (opcode.base == "ld" || opcode.base == "st") return assembleAccess(opcode, statement, assembler, in), true;
  if (opcode.base != "cvta" && opcode.base != "mapa") return false;
  in.to = assembler.placeOf(statement.operands.at(0), Width::eight);
  in.a = assembler.placeOf(statement.operands.at(1), Width::eight);
  in.step = windowStep;
  if (opcode.base == "mapa") in.b = assembler.placeOf(statement.operands.at(2), Width::four), in.step = mapToBlock;
  else if (opcode.has("shared")) in.number = static_cast<int64_t>(sharedWindow);
  else if (opcode.has("local")) in.number = static_cast<int64_t>(localWindow);
  else if (!opcode.has("global")) assembler.refuse(statement, "is not known here");
  return true;
}

}  // namespace ptx
}  // namespace vwn
