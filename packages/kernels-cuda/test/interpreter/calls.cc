#include "calls.h"

#include <stdexcept>

namespace vwn {
namespace ptx {
namespace {

/** A called function's names in its caller: parameters and results are the call's variables. */
class Renamed {
 public:
  Renamed(const Function &called, const Statement &call, std::string prefix) : prefix_(std::move(prefix)) {
    bind(called.results, call.operands.at(0));
    bind(called.parameters, call.operands.at(2));
    for (const auto &[name, width] : called.registers) names_[name] = prefix_ + name;
    for (const auto &[name, at] : called.labels) names_[name] = prefix_ + name;
    for (const Variable &local : called.locals) names_[local.name] = prefix_ + local.name;
  }

  std::string operator()(const std::string &name) const {
    const auto found = names_.find(name);
    return found == names_.end() ? name : found->second;
  }

  Operand operator()(Operand operand) const {
    operand.name = (*this)(operand.name);
    for (Operand &part : operand.parts) part = (*this)(part);
    return operand;
  }

 private:
  void bind(const std::vector<Variable> &variables, const Operand &given) {
    for (size_t i = 0; i < variables.size(); i++) names_[variables[i].name] = given.parts.at(i).name;
  }
  std::string prefix_;
  std::map<std::string, std::string> names_;
};

class Writer {
 public:
  Writer(const Module &module, Function &kernel) : module_(module), kernel_(kernel) {}

  void write() {
    const std::vector<Statement> statements = std::move(kernel_.statements);
    kernel_.statements.clear();
    std::vector<size_t> places;
    for (const Statement &statement : statements) {
      places.push_back(kernel_.statements.size());
      if (statement.opcode.starts_with("call")) writeCall(statement);
      else kernel_.statements.push_back(statement);
    }
    places.push_back(kernel_.statements.size());
    for (auto &[name, at] : kernel_.labels) at = places[at];
    kernel_.labels.merge(labels_);
  }

 private:
  void writeCall(const Statement &call) {
    const auto found = module_.functions.find(call.operands.size() == 3 ? call.operands[1].name : "");
    if (found == module_.functions.end() || !call.guard.empty()) throw std::runtime_error("PTX, line " + std::to_string(call.line) + ": a call of a kind that is not known here");
    const Function &called = found->second;
    const std::string prefix = called.name + '#' + std::to_string(count_++) + '.', end = prefix + "end";
    const Renamed renamed(called, call, prefix);
    const size_t begin = kernel_.statements.size();
    for (Statement statement : called.statements) {
      for (Operand &operand : statement.operands) operand = renamed(operand);
      if (!statement.guard.empty()) statement.guard = renamed(statement.guard);
      if (statement.opcode == "ret") statement.opcode = "bra", statement.operands = {{Operand::Kind::name, end, 0, {}}};
      kernel_.statements.push_back(std::move(statement));
    }
    for (const auto &[name, at] : called.labels) labels_[renamed(name)] = begin + at;
    labels_[end] = kernel_.statements.size();
    for (const auto &[name, width] : called.registers) kernel_.registers[renamed(name)] = width;
    for (Variable local : called.locals) local.name = renamed(local.name), kernel_.locals.push_back(std::move(local));
  }

  const Module &module_;
  Function &kernel_;
  std::map<std::string, size_t> labels_;
  int count_ = 0;
};

}  // namespace

void writeOutCalls(Module &module) {
  for (auto &[name, function] : module.functions)
    if (function.isKernel) Writer(module, function).write();
}

}  // namespace ptx
}  // namespace vwn
