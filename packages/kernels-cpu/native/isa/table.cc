#include "kernels.h"

namespace vwn {
namespace VWN_ISA {

#define VWN_LIST(name) {#name, name},
extern const vwn_entry table[];
const vwn_entry table[] = {VWN_FUNCTIONS(VWN_LIST){nullptr, nullptr}};

}  // namespace VWN_ISA
}  // namespace vwn
