/** vwn-cpu as the addon sees it. */
#include "library.h"

#include "amx.h"
#include "dispatch.h"
#include "threads.h"

namespace vwn {

const char *const libraryName = "vwn-cpu";

Library openLibrary() {
  const InstructionSet &chosen = chooseInstructionSet();
  if (const std::string problem = threadsProblem(); !problem.empty()) throw WrongSetting(problem);
  amxIsChosen = chosen.usesAmx;
  Library library{chosen.entries, chosen.name, {}, true};
  for (const InstructionSet &set : instructionSets())
    if (set.runsHere) library.instructionSets.emplace_back(set.name);
  return library;
}

/** Blocks are the host's memory: nobody copies them. */
void readBlock(void *, const void *, size_t) {}
void writeBlock(void *, const void *, size_t) {}

}  // namespace vwn
