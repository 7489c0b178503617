/** The functions of every instruction set that this build holds, and the choice among them at load time. */
#pragma once
#include <string>
#include <vector>

#include "vwn_kernels.h"

namespace vwn {

struct InstructionSet {
  const char *name;
  const vwn_entry *entries; /* ends with a null name */
  bool runsHere;
  bool usesAmx; /* for products of pairs: the same functions as those of the set behind it */
};

/** Best first; the last one runs everywhere. */
const std::vector<InstructionSet> &instructionSets();

/** The one named by VWN_CPU_ISA, else the best that runs here. @throws WrongSetting; std::runtime_error where none runs */
const InstructionSet &chooseInstructionSet();

}  // namespace vwn
