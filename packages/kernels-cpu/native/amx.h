/** AMX, the unit for matrices of bf16 that Intel's server processors have had since Sapphire Rapids. */
#pragma once

namespace vwn {

/** Whether processor and system let this process use it. Linux gives its registers only to those who ask: this asks. */
bool amxRunsHere();

/** Whether products of bf16 are made by it: the choice of the instruction set when the library is loaded. */
extern bool amxIsChosen;

}  // namespace vwn
