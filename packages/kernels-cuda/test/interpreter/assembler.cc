#include "assembler.h"

#include <algorithm>

#include "block.h"
#include "forms.h"

namespace vwn {
namespace ptx {
namespace {

constexpr Slot neverTrue = 0, alwaysTrue = 1, firstPredicate = 2;
/** Registers of all widths begin on as many bytes. */
constexpr size_t registerAlignment = 64;

/** A conversion takes as much of a wider register as its type has. PTX ISA, "Operand Size Exceeding Instruction-Type Size". */
bool narrowStep(const Instruction &in, Warp &warp, Mask mask) {
  const size_t ofOne = in.a.width == Width::four ? 4 : 2, ofFrom = in.list[0].width == Width::eight ? 8 : 4;
  unsigned char *to = warp.at<unsigned char>(in.a.slot);
  const unsigned char *from = warp.at<unsigned char>(in.list[0].slot);
  for (unsigned lane = 0; lane < lanes; lane++) std::memcpy(to + lane * ofOne, from + lane * ofFrom, ofOne);
  return in.inner(in, warp, mask);
}

size_t roundedUp(size_t size, size_t to) { return (size + to - 1) / to * to; }

}  // namespace

Opcode::Opcode(const std::string &text) {
  size_t at = text.find('.');
  base = text.substr(0, at);
  while (at != std::string::npos) {
    const size_t end = text.find('.', at + 1);
    parts.push_back(text.substr(at + 1, end == std::string::npos ? end : end - at - 1));
    at = end;
  }
}

bool Opcode::has(const std::string &part) const { return std::find(parts.begin(), parts.end(), part) != parts.end(); }

Assembler::Assembler(const Module &module, const Function &function, const Addresses &globals) : module_(module), globals_(globals) {
  program_.name = function.name;
  program_.function = function;
  program_.mostThreads = function.mostThreads;
  program_.cluster = function.cluster;
  program_.predicates = firstPredicate;
}

Program Assembler::assemble() {
  layOut();
  for (const auto &[name, width] : program_.function.registers)
    registers_[name] = {width == Width::truth ? program_.predicates++ : newSlot(width), width};
  for (const Statement &statement : program_.function.statements) program_.code.push_back(assembleOne(statement));
  // What runs off the end returns.
  Instruction end{};
  end.flow = Flow::end;
  program_.code.push_back(end);
  program_.counts.resize(program_.code.size());
  return std::move(program_);
}

/** Parameters, local and shared variables, each space from its begin on. */
void Assembler::layOut() {
  for (const Variable &each : program_.function.parameters) {
    const size_t at = roundedUp(program_.parameterBytes, each.alignment);
    program_.parameters.push_back({at, each.bytes});
    program_.parameterBytes = at + each.bytes;
    variables_[each.name] = at;
  }
  for (const Variable &each : program_.function.locals) {
    const size_t at = roundedUp(program_.localBytes, each.alignment);
    program_.localBytes = at + each.bytes;
    locals_[each.name] = variables_[each.name] = at;
  }
  program_.localBytes = roundedUp(program_.localBytes, 16);
  for (const Variable &each : program_.function.shared) {
    const size_t at = roundedUp(program_.sharedBytes, each.alignment);
    program_.sharedBytes = at + each.bytes;
    variables_[each.name] = sharedBegin + at;
  }
  program_.sharedBytes = roundedUp(program_.sharedBytes, 1024);
  for (const std::string &name : module_.dynamicShared) variables_[name] = sharedBegin + program_.sharedBytes;
}

Instruction Assembler::assembleOne(const Statement &statement) {
  Instruction in{};
  in.statement = &statement;
  if (!statement.guard.empty()) {
    in.guard = predicateOf({Operand::Kind::name, statement.guard, 0, {}});
    in.isGuardNegated = statement.isGuardNegated;
  }
  if (assembleArithmetic(statement, in)) return in;
  const Opcode opcode(statement.opcode);
  if (opcode.base == "bra") {
    in.flow = Flow::branch, in.target = labelOf(statement.operands.at(0));
    return in;
  }
  if (opcode.base == "ret" || opcode.base == "exit") {
    in.flow = Flow::end;
    return in;
  }
  for (const auto kind : {assembleMove, assembleMemory, assembleCopy, assembleWarp, assembleGroup})
    if (kind(opcode, statement, *this, in)) return in;
  refuse(statement, "is not known here");
}

bool Assembler::assembleArithmetic(const Statement &statement, Instruction &in) {
  const auto found = arithmetic().find(statement.opcode);
  const bool isOfLists = std::any_of(statement.operands.begin(), statement.operands.end(), [](const Operand &each) { return each.kind == Operand::Kind::list; });
  if (found == arithmetic().end() || isOfLists) return false;
  const std::vector<Width> &widths = found->second.widths;
  if (statement.operands.size() != widths.size()) refuse(statement, "has another number of operands");
  in.step = found->second.step;
  for (size_t i = 0; i < widths.size(); i++) {
    const Operand &operand = statement.operands[i];
    const Place place = widths[i] == Width::truth ? Place{predicateOf(operand), Width::truth} : placeOf(operand, widths[i]);
    if (place.width > widths[i] && statement.opcode.starts_with("cvt") && i == 1) {
      in.list.push_back(place), in.a = {newSlot(widths[i]), widths[i]};
      in.inner = in.step, in.step = narrowStep;
      continue;
    }
    if (place.width != widths[i]) refuse(statement, "has a register of another width: " + operand.name);
    if (i < 4) *std::array<Place *, 4>{&in.to, &in.a, &in.b, &in.c}[i] = place;
    else in.list.push_back(place);
  }
  return true;
}

Slot Assembler::newSlot(Width width) {
  const size_t ofOne = width == Width::eight ? 8 : width == Width::four ? 4 : 2;
  const size_t at = program_.registerBytes;
  program_.registerBytes += roundedUp(lanes * ofOne, registerAlignment);
  return static_cast<Slot>(at);
}

Place Assembler::constantOf(uint64_t bits, Width width) {
  Place &place = constants_[{bits, width}];
  if (place.slot >= 0) return place;
  place = {newSlot(width), width};
  program_.constants.push_back({place.slot, width, bits});
  return place;
}

Place Assembler::specialOf(const std::string &name) {
  Place &place = specials_[name];
  if (place.slot >= 0) return place;
  place = {newSlot(Width::four), Width::four};
  program_.specials.push_back({place.slot, name});
  return place;
}

Place Assembler::placeOf(const Operand &operand, Width width) {
  if (operand.kind == Operand::Kind::number) return constantOf(operand.bits, width);
  if (const auto found = registers_.find(operand.name); found != registers_.end()) return found->second;
  if (const auto found = variables_.find(operand.name); found != variables_.end()) return constantOf(found->second, width);
  if (const auto found = globals_.find(operand.name); found != globals_.end()) return constantOf(found->second, width);
  if (operand.name.starts_with('%')) return specialOf(operand.name);
  throw std::runtime_error("PTX, " + program_.name + ": \"" + operand.name + "\" is no register or variable");
}

Slot Assembler::predicateOf(const Operand &operand) {
  if (operand.kind == Operand::Kind::number) return operand.bits ? alwaysTrue : neverTrue;
  const auto found = registers_.find(operand.name);
  if (found == registers_.end() || found->second.width != Width::truth || operand.isNegated)
    throw std::runtime_error("PTX, " + program_.name + ": \"" + operand.name + "\" is no predicate");
  return found->second.slot;
}

Place Assembler::baseOf(const Operand &operand, Instruction &in) {
  in.number = static_cast<int64_t>(operand.bits);
  if (operand.name.empty()) return {};
  return placeOf({Operand::Kind::name, operand.name, 0, {}}, Width::eight);
}

uint32_t Assembler::labelOf(const Operand &operand) const {
  const auto found = program_.function.labels.find(operand.name);
  if (found == program_.function.labels.end()) throw std::runtime_error("PTX, " + program_.name + ": no label " + operand.name);
  return static_cast<uint32_t>(found->second);
}

void Assembler::refuse(const Statement &statement, const std::string &why) const {
  throw std::runtime_error("PTX, line " + std::to_string(statement.line) + ", " + program_.name + ": " + statement.opcode + ' ' + why);
}

}  // namespace ptx
}  // namespace vwn
