#pragma once
#include "module.h"

namespace vwn {
namespace ptx {

/** Puts the statements of each function that a kernel calls in the place of the call, with names of their own. */
void writeOutCalls(Module &module);

}  // namespace ptx
}  // namespace vwn
