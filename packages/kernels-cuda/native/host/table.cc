#include "functions.h"

namespace vwn {
namespace VWN_ISA {

extern const vwn_entry table[];
const vwn_entry table[] = {VWN_FUNCTIONS(VWN_LIST){nullptr, nullptr}};

}  // namespace VWN_ISA
}  // namespace vwn
