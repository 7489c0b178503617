/** Makes a program of a function: names become places among a warp's registers. */
#pragma once
#include <functional>

#include "warp.h"

namespace vwn {
namespace ptx {

/** An opcode in its parts: what stands before the first dot, and what follows. */
struct Opcode {
  explicit Opcode(const std::string &text);
  std::string base;
  std::vector<std::string> parts;
  bool has(const std::string &part) const;
  const std::string &type() const { return parts.back(); }
};

/** Where variables of the modules lie. */
using Addresses = std::map<std::string, uint64_t>;

class Assembler {
 public:
  Assembler(const Module &module, const Function &function, const Addresses &globals);
  Program assemble();

  /** A register, whatever its width; or a number, or a variable's address, of this width. */
  Place placeOf(const Operand &operand, Width width);
  Slot predicateOf(const Operand &operand);
  /** The base of an address; its offset goes into the instruction. */
  Place baseOf(const Operand &operand, Instruction &in);
  bool isLocal(const std::string &name) const { return locals_.contains(name); }
  uint32_t labelOf(const Operand &operand) const;
  [[noreturn]] void refuse(const Statement &statement, const std::string &why) const;

 private:
  void layOut();
  Instruction assembleOne(const Statement &statement);
  bool assembleArithmetic(const Statement &statement, Instruction &in);
  Slot newSlot(Width width);
  Place constantOf(uint64_t bits, Width width);
  Place specialOf(const std::string &name);

  const Module &module_;
  const Addresses &globals_;
  Program program_;
  std::map<std::string, Place> registers_;
  std::map<std::string, uint64_t> variables_, locals_;
  std::map<std::pair<uint64_t, Width>, Place> constants_;
  std::map<std::string, Place> specials_;
};

/** Each takes opcodes of its kind; false: it is not of them. */
bool assembleMove(const Opcode &opcode, const Statement &statement, Assembler &assembler, Instruction &in);
bool assembleMemory(const Opcode &opcode, const Statement &statement, Assembler &assembler, Instruction &in);
bool assembleCopy(const Opcode &opcode, const Statement &statement, Assembler &assembler, Instruction &in);
bool assembleWarp(const Opcode &opcode, const Statement &statement, Assembler &assembler, Instruction &in);
bool assembleGroup(const Opcode &opcode, const Statement &statement, Assembler &assembler, Instruction &in);

}  // namespace ptx
}  // namespace vwn
