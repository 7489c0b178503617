/** Buffers of a vwn_call by the type of their elements. */
#pragma once
#include "simd.h"
#include "vwn_call.h"

namespace vwn {
namespace VWN_ISA {

/** Calls body with a typed pointer: float or bf16 (both float storage). */
template <class Body>
VWN_INLINE const char *withFloats(void *data, int32_t type, const Body &body) {
  if (type == VWN_F32) return body(static_cast<float *>(data));
  if (type == VWN_BF16) return body(static_cast<bf16 *>(data));
  return "a buffer must hold floating-point numbers";
}

}  // namespace VWN_ISA
}  // namespace vwn
