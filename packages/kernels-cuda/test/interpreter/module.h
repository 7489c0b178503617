/** A module of PTX as it is written: functions, their registers and variables, and statements. */
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace vwn {
namespace ptx {

/** What a register holds for each thread of a warp. */
enum class Width { truth, two, four, eight };
/** Of a type's name: "f32", "b64", "pred". */
Width widthOf(std::string_view type);
/** Bytes of a type of memory: 1 to 8. */
size_t bytesOf(std::string_view type);

struct Operand {
  enum class Kind { name, number, list, address };
  Kind kind;
  /** A name; or an address's base, empty where it is a number alone. */
  std::string name;
  /** A number's bits; or what is added to an address's base. */
  uint64_t bits = 0;
  /** Of a list in braces or parentheses, or of results that a bar divides. */
  std::vector<Operand> parts;
  bool isNegated = false;
};

struct Statement {
  int line;
  /** Of the file that it comes from, as -lineinfo has told last: its number and the line; 0: it has not. */
  int sourceFile = 0, sourceLine = 0;
  std::string opcode;
  std::vector<Operand> operands;
  /** The predicate under which it is done; empty: always. */
  std::string guard;
  bool isGuardNegated = false;
};

struct Variable {
  std::string name;
  size_t bytes, alignment;
  std::vector<unsigned char> content;
};

struct Function {
  std::string name;
  bool isKernel;
  std::vector<Variable> results, parameters, locals, shared;
  std::map<std::string, Width> registers;
  /** Labels, as numbers of statements. */
  std::map<std::string, size_t> labels;
  std::vector<Statement> statements;
  unsigned mostThreads = 1024, cluster = 1;
};

struct Module {
  /** Names of files by their numbers. */
  std::map<int, std::string> files;
  std::map<std::string, Function> functions;
  std::vector<Variable> globals;
  /** Names of the shared memory whose size the launch says. */
  std::vector<std::string> dynamicShared;
};

/** Calls are written out, so that kernels are all that there is. @throws std::runtime_error naming the line */
Module parse(std::string_view text);

}  // namespace ptx
}  // namespace vwn
