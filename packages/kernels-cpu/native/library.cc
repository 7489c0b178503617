/** vwn-cpu as the addon sees it. */
#include "library.h"

#include <stdexcept>

#include "amx.h"
#include "dispatch.h"

namespace vwn {

const char *const libraryName = "vwn-cpu";

Library openLibrary() {
  std::string why;
  const InstructionSet *chosen = chooseInstructionSet(why);
  if (!chosen) throw std::runtime_error(why);
  amxIsChosen = chosen->usesAmx;
  Library library{chosen->entries, chosen->name, {}, true};
  for (const InstructionSet &set : instructionSets())
    if (set.runsHere) library.instructionSets.emplace_back(set.name);
  return library;
}

/** Blocks are the host's memory: nobody copies them. */
void readBlock(void *, const void *, size_t) {}
void writeBlock(void *, const void *, size_t) {}

}  // namespace vwn
