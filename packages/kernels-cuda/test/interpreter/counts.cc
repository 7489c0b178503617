#include "counts.h"

#include <cstdlib>
#include <tuple>

namespace vwn {
namespace ptx {

Counts::Counts() : file_(std::getenv("VWN_INTERPRETED_COUNTS") ? std::fopen(std::getenv("VWN_INTERPRETED_COUNTS"), "w") : nullptr) {}

Counts::~Counts() {
  if (!file_) return;
  std::fputs(*apart_ == '[' ? "[]" : "]", file_);
  std::fclose(file_);
}

void Counts::add(const Program &program, const std::map<int, std::string> &files) {
  if (!file_) return;
  std::map<std::tuple<int, int, std::string>, uint64_t> counts;
  for (size_t i = 0; i < program.counts.size(); i++)
    if (const Statement *of = program.code[i].statement; of && program.counts[i] > 0) counts[{of->sourceFile, of->sourceLine, of->opcode}] += program.counts[i];
  for (const auto &[key, count] : counts) {
    const auto &[number, line, opcode] = key;
    const auto found = files.find(number);
    // Names of files are in quotes already.
    const std::string file = found == files.end() ? "null" : found->second;
    std::fprintf(file_, "%s\n{\"kernel\":\"%s\",\"file\":%s,\"line\":%d,\"opcode\":\"%s\",\"count\":%llu}", apart_, program.name.c_str(), file.c_str(), line,
                 opcode.c_str(), static_cast<unsigned long long>(count));
    apart_ = ",";
  }
}

}  // namespace ptx
}  // namespace vwn
