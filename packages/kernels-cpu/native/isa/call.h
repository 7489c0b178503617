/** Reading a vwn_call, with the checks that keep a wrong caller from touching memory that is not its own. */
#pragma once
#include "simd.h"
#include "vwn_kernels.h"

namespace vwn {
namespace VWN_ISA {

class Call {
 public:
  Call(const vwn_call *call, int buffers, int numbers) : call_(*call) {
    if (call->buffer_count < buffers) problem_ = "too few buffers for this kernel";
    if (call->number_count < numbers) problem_ = "too few numbers for this kernel";
  }

  int64_t integer(int i) const { return i < call_.number_count ? static_cast<int64_t>(call_.numbers[i]) : 0; }
  float real(int i) const { return i < call_.number_count ? static_cast<float>(call_.numbers[i]) : 0; }
  double exact(int i) const { return i < call_.number_count ? call_.numbers[i] : 0; }
  int64_t size(int i) const { return i < call_.buffer_count ? call_.buffers[i].size : 0; }
  int32_t type(int i) const { return i < call_.buffer_count ? call_.buffers[i].type : -1; }
  int buffers() const { return call_.buffer_count; }

  /** Buffer i of exactly `size` elements, of any type. */
  void *any(int i, int64_t size) {
    if (i >= call_.buffer_count) return fail("too few buffers for this kernel");
    const vwn_buffer &buffer = call_.buffers[i];
    if (buffer.size != size) return fail("a buffer has another size than the dimensions say");
    if (!buffer.data && size > 0) return fail("a buffer has no memory");
    return buffer.data;
  }
  float *floats(int i, int64_t size) { return static_cast<float *>(typed(i, size, VWN_F32)); }
  int32_t *integers(int i, int64_t size) { return static_cast<int32_t *>(typed(i, size, VWN_I32)); }

  const char *problem() const { return problem_; }

 private:
  void *typed(int i, int64_t size, int32_t type) {
    void *data = any(i, size);
    return !problem_ && call_.buffers[i].type != type ? fail("a buffer has another type than this kernel takes") : data;
  }
  void *fail(const char *text) {
    if (!problem_) problem_ = text;
    return nullptr;
  }

  const vwn_call &call_;
  const char *problem_ = nullptr;
};

/** Calls body with a typed pointer: float or bf16 (both float storage). */
template <class Body>
VWN_INLINE const char *withFloats(void *data, int32_t type, const Body &body) {
  if (type == VWN_F32) return body(static_cast<float *>(data));
  if (type == VWN_BF16) return body(static_cast<bf16 *>(data));
  return "a buffer must hold floating-point numbers";
}

}  // namespace VWN_ISA
}  // namespace vwn
