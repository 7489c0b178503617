/** How often warps did what, for whoever wants to know where a kernel spends its instructions. */
#pragma once
#include <cstdio>

#include "warp.h"

namespace vwn {
namespace ptx {

/** Writes the file that VWN_INTERPRETED_COUNTS names, an array of JSON; nothing where that is not set. */
class Counts {
 public:
  Counts();
  ~Counts();
  /** { kernel, file, line, opcode, count } for each opcode of each line; of no file where nvcc ran without -lineinfo. */
  void add(const Program &program, const std::map<int, std::string> &files);

 private:
  FILE *file_;
  const char *apart_ = "[";
};

}  // namespace ptx
}  // namespace vwn
