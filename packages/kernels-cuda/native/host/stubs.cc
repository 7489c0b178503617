#include "functions.h"
namespace vwn {
namespace VWN_ISA {
#define STUB(name) const char *name(const vwn_call *) { return #name " is not written yet"; }



 
 
STUB(connection_step) STUB(connection_step_grad)
}
}
