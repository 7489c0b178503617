/** Every function of one instruction set, as table.cc lists it. Buffers and numbers stand at each definition. */
#pragma once
#include "vwn_functions.h"

namespace vwn {
namespace VWN_ISA {

VWN_FUNCTIONS(VWN_DECLARE)
const char *measure_peaks(const vwn_call *call);

}  // namespace VWN_ISA
}  // namespace vwn
