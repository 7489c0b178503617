/** Every function of the library, as table.cc lists it. Buffers and numbers stand at each definition. */
#pragma once
#include "vwn_functions.h"

namespace vwn {
namespace VWN_ISA {

VWN_FUNCTIONS(VWN_DECLARE)

}  // namespace VWN_ISA
}  // namespace vwn
