/** PTX ISA, "Syntax" and "State Spaces, Types, and Variables", as far as nvcc writes it. */
#include <algorithm>
#include <stdexcept>

#include "calls.h"
#include "module.h"
#include "words.h"

namespace vwn {
namespace ptx {
namespace {

/** Reads one function's body; names of inner blocks are told apart by a number. */
class Body {
 public:
  Body(Words &words, Function &function) : words_(words), function_(function) {}

  void read() {
    words_.expect("{");
    scopes_.emplace_back();
    while (!scopes_.empty()) readOne();
  }

 private:
  void readOne() {
    if (words_.take("{")) return scopes_.emplace_back(), void();
    if (words_.take("}")) return scopes_.pop_back();
    const std::string_view next = words_.peek().text;
    if (next == ".reg") return readRegisters();
    if (next == ".pragma") return skipStatement();
    if (next == ".loc") return readSource();
    if (next.starts_with('.')) return readVariable();
    if (words_.peek(1).text == ":") {
      function_.labels[words_.word()] = function_.statements.size();
      return words_.expect(":");
    }
    readStatement();
  }

  void skipStatement() {
    while (!words_.take(";")) words_.next();
  }

  /** .loc file line column, and where that was inlined. */
  void readSource() {
    words_.next();
    file_ = static_cast<int>(words_.number()), line_ = static_cast<int>(words_.number());
    words_.skipLine();
  }

  std::string declared(const std::string &name) {
    std::string &known = scopes_.back()[name];
    known = scopes_.size() == 1 ? name : name + '#' + std::to_string(count_++);
    return known;
  }

  std::string resolved(const std::string &name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope)
      if (const auto found = scope->find(name); found != scope->end()) return found->second;
    return name;
  }

  /** .reg .f32 %f<8>; or names with commas. */
  void readRegisters() {
    words_.expect(".reg");
    const Width width = widthOf(words_.word().substr(1));
    do {
      const std::string name = words_.word();
      if (!words_.take("<")) {
        function_.registers[declared(name)] = width;
        continue;
      }
      const uint64_t count = words_.number();
      for (uint64_t i = 0; i < count; i++) function_.registers[declared(name + std::to_string(i))] = width;
      words_.expect(">");
    } while (words_.take(","));
    words_.expect(";");
  }

  void readVariable();

  Operand readOperand() {
    const Token token = words_.peek();
    if (token.text == "{" || token.text == "(") return readList(token.text == "{" ? "}" : ")");
    if (token.text == "[") return readAddress();
    if (token.kind == Token::Kind::number) return {Operand::Kind::number, "", words_.number(), {}};
    const bool isNegated = words_.take("!");
    Operand named{Operand::Kind::name, resolved(words_.word()), 0, {}, isNegated};
    if (!words_.take("|")) return named;
    return {Operand::Kind::list, "", 0, {named, readOperand()}};
  }

  Operand readList(std::string_view end) {
    Operand list{Operand::Kind::list, "", 0, {}};
    words_.next();
    while (!words_.take(end)) {
      list.parts.push_back(readOperand());
      words_.take(",");
    }
    return list;
  }

  Operand readAddress() {
    words_.expect("[");
    Operand address{Operand::Kind::address, "", 0, {}};
    if (words_.peek().kind == Token::Kind::number) address.bits = words_.number();
    else address.name = resolved(words_.word());
    if (words_.take("+") || words_.peek().kind == Token::Kind::number) address.bits = words_.number();
    words_.expect("]");
    return address;
  }

  void readStatement() {
    Statement statement{words_.peek().line, file_, line_, "", {}, "", false};
    if (words_.take("@")) {
      statement.isGuardNegated = words_.take("!");
      statement.guard = resolved(words_.word());
    }
    statement.opcode = words_.word();
    while (!words_.take(";")) {
      statement.operands.push_back(readOperand());
      words_.take(",");
    }
    function_.statements.push_back(std::move(statement));
  }

  Words &words_;
  Function &function_;
  std::vector<std::map<std::string, std::string>> scopes_;
  int count_ = 0, file_ = 0, line_ = 0;
};

/** .align 8 .b8 name[16], behind the state space; sizes of arrays that are not told are 0. */
Variable readDeclaration(Words &words) {
  size_t alignment = 0;
  std::string type = words.word();
  for (; type == ".align" || type == ".ptr" || type == ".global"; type = words.word())
    if (type == ".align") alignment = words.number();
  Variable variable{words.word(), bytesOf(type.substr(1)), 0, {}};
  variable.alignment = std::max(alignment, variable.bytes);
  const size_t ofOne = variable.bytes;
  while (words.take("[")) {
    variable.bytes *= words.isNext("]") ? 0 : words.number();
    words.expect("]");
  }
  if (!words.take("=")) return variable;
  words.expect("{");
  variable.content.resize(variable.bytes);
  for (size_t at = 0; !words.take("}"); at += ofOne, words.take(",")) {
    const uint64_t bits = words.number();
    for (size_t i = 0; i < ofOne; i++) variable.content.at(at + i) = static_cast<unsigned char>(bits >> 8 * i);
  }
  return variable;
}

void Body::readVariable() {
  const std::string space = words_.word();
  Variable variable = readDeclaration(words_);
  variable.name = declared(variable.name);
  words_.expect(";");
  // A call's arguments are memory of the caller.
  if (space == ".local" || space == ".param") function_.locals.push_back(std::move(variable));
  else if (space == ".shared") function_.shared.push_back(std::move(variable));
  else throw std::runtime_error("PTX: a variable in " + space + " inside of " + function_.name);
}

std::vector<Variable> readParameters(Words &words) {
  std::vector<Variable> parameters;
  words.expect("(");
  while (!words.take(")")) {
    words.expect(".param");
    parameters.push_back(readDeclaration(words));
    words.take(",");
  }
  return parameters;
}

/** .maxntid 256, 1, 1 and others that stand between a function's parameters and its body. */
void readPerformance(Words &words, Function &function) {
  while (words.peek().text.starts_with('.')) {
    const std::string directive = words.word();
    std::vector<unsigned> numbers;
    while (words.peek().kind == Token::Kind::number) {
      numbers.push_back(static_cast<unsigned>(words.number()));
      words.take(",");
    }
    if (directive == ".maxntid") function.mostThreads = numbers.at(0);
    if (directive == ".reqnctapercluster") function.cluster = numbers.at(0);
  }
}

void readFunction(Words &words, Module &module, bool isKernel) {
  Function function{};
  function.isKernel = isKernel;
  if (words.isNext("(")) function.results = readParameters(words);
  function.name = words.word();
  if (words.isNext("(")) function.parameters = readParameters(words);
  readPerformance(words, function);
  if (words.take(";")) return;
  Body(words, function).read();
  module.functions[function.name] = std::move(function);
}

void readShared(Words &words, Module &module, bool isExtern) {
  const Variable variable = readDeclaration(words);
  words.expect(";");
  if (!isExtern || variable.bytes > 0) throw std::runtime_error("PTX: shared memory " + variable.name + " outside of a function");
  module.dynamicShared.push_back(variable.name);
}

/** .file 1 "name" */
void readFile(Words &words, Module &module) {
  const int number = static_cast<int>(words.number());
  module.files[number] = words.word();
  words.skipLine();
}

/** What debuggers read: .section name { … } */
void skipSection(Words &words) {
  while (!words.take("}")) words.next();
}

}  // namespace

Module parse(std::string_view text) {
  Words words(text);
  Module module;
  bool isExtern = false;
  while (words.peek().kind != Token::Kind::end) {
    const std::string directive = words.word();
    if (directive == ".version" || directive == ".target" || directive == ".address_size") words.next();
    else if (directive == ".extern") isExtern = true;
    else if (directive == ".entry" || directive == ".func") readFunction(words, module, directive == ".entry");
    else if (directive == ".shared") readShared(words, module, isExtern), isExtern = false;
    else if (directive == ".global" || directive == ".const") module.globals.push_back(readDeclaration(words)), words.expect(";");
    else if (directive == ".file") readFile(words, module);
    else if (directive == ".section") skipSection(words);
    else if (directive != ".visible" && directive != ".weak") throw std::runtime_error("PTX: " + directive + " is not known here");
  }
  writeOutCalls(module);
  return module;
}

Width widthOf(std::string_view type) {
  if (type == "pred") return Width::truth;
  const size_t bytes = bytesOf(type);
  return bytes == 8 ? Width::eight : bytes == 4 ? Width::four : Width::two;
}

size_t bytesOf(std::string_view type) {
  const std::string_view digits = type.substr(std::min(type.find_first_of("0123456789"), type.size()));
  if (digits.starts_with("64")) return 8;
  if (digits.starts_with("32") || type == "bf16x2" || type == "f16x2") return 4;
  if (digits.starts_with("16")) return 2;
  if (digits == "8") return 1;
  throw std::runtime_error("PTX: type " + std::string(type) + " is not known here");
}

}  // namespace ptx
}  // namespace vwn
