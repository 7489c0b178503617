/**
 * Reading a vwn_call, with the checks that keep a wrong caller from touching memory that is not its own. Each library
 * compiles this for itself, some once for each instruction set: hence the namespace.
 */
#pragma once
#include <cstdint>
#include <cstdio>
#include <initializer_list>

#include "vwn_kernels.h"

namespace vwn {
namespace VWN_ISA {

class Call {
 public:
  Call(const vwn_call *call, int buffers, int numbers) : call_(*call) {
    if (call->buffer_count < buffers) fail("the call has %d buffers, and must have at least %d buffers", call->buffer_count, buffers);
    if (call->number_count < numbers) fail("the call has %d numbers, and must have at least %d numbers", call->number_count, numbers);
  }

  /** A flag, an offset or an index, of either sign; 0 for what is no number. */
  int64_t integer(int i) const {
    const double value = exact(i);
    return value >= -largest && value <= largest ? static_cast<int64_t>(value) : 0;
  }
  /** A size: 0 or more. */
  int64_t dimension(int i) {
    const double value = exact(i);
    if (value >= 0 && value <= largest) return static_cast<int64_t>(value);
    fail("number %d is %g, and must be a size from 0 to 2^53", i, value);
    return 0;
  }
  float real(int i) const { return i < call_.number_count ? static_cast<float>(call_.numbers[i]) : 0; }
  double exact(int i) const { return i < call_.number_count ? call_.numbers[i] : 0; }
  int64_t size(int i) const { return i < call_.buffer_count ? call_.buffers[i].size : 0; }
  int32_t type(int i) const { return i < call_.buffer_count ? call_.buffers[i].type : -1; }
  int buffers() const { return call_.buffer_count; }
  int numbers() const { return call_.number_count; }

  /** Buffer i of exactly `size` elements, of any type. */
  void *any(int i, int64_t size) {
    if (i >= call_.buffer_count) return fail("the call has %d buffers, and must have more", call_.buffer_count);
    const vwn_buffer &buffer = call_.buffers[i];
    if (size < 0) return fail("the dimensions of buffer %d are more than any buffer has", i);
    if (buffer.size != size)
      return fail("buffer %d has %lld elements, and must have %lld elements by the dimensions", i, static_cast<long long>(buffer.size),
                  static_cast<long long>(size));
    if (!buffer.data && size > 0) return fail("buffer %d has no memory", i);
    return buffer.data;
  }
  /** As above, of a product of dimensions, which may be too large for any number. */
  void *any(int i, std::initializer_list<int64_t> dimensions) { return any(i, product(dimensions)); }
  float *floats(int i, std::initializer_list<int64_t> dimensions) { return floats(i, product(dimensions)); }

  /** Product of dimensions, −1 where it is too large. */
  static int64_t product(std::initializer_list<int64_t> dimensions) {
    int64_t size = 1;
    for (const int64_t each : dimensions)
      if (each < 0 || __builtin_mul_overflow(size, each, &size)) return -1;
    return size;
  }

  /** All buffers must be of the type of the first one named: kernels read them through one pointer type. */
  void sameType(std::initializer_list<int> buffers) {
    for (const int i : buffers)
      if (type(i) != type(*buffers.begin()))
        fail("buffers %d and %d are of %s and %s, and must be of one type", *buffers.begin(), i, nameOf(type(*buffers.begin())),
             nameOf(type(i)));
  }

  /** Numbers in either floating-point storage; the kernel asks type(i). */
  void *reals(int i, std::initializer_list<int64_t> dimensions) {
    void *data = any(i, dimensions);
    const bool isReal = type(i) == VWN_F32 || type(i) == VWN_BF16;
    return problem_ || isReal ? data : fail("buffer %d is of %s, and must be of float32 or bf16", i, nameOf(type(i)));
  }
  float *floats(int i, int64_t size) { return static_cast<float *>(typed(i, size, VWN_F32)); }
  int32_t *integers(int i, int64_t size) { return static_cast<int32_t *>(typed(i, size, VWN_I32)); }

  const char *problem() const { return problem_; }

  /** The first problem stays. Its text outlives the call: one thread alone makes calls. */
  template <class... Values>
  void *fail(const char *format, Values... values) {
    static char text[256];
    if (problem_) return nullptr;
    std::snprintf(text, sizeof text, format, values...);
    problem_ = text;
    return nullptr;
  }

 private:
  void *typed(int i, int64_t size, int32_t type) {
    void *data = any(i, size);
    if (problem_ || call_.buffers[i].type == type) return data;
    return fail("buffer %d is of %s, and must be of %s", i, nameOf(call_.buffers[i].type), nameOf(type));
  }

  static const char *nameOf(int32_t type) {
    constexpr const char *names[] = {"float32", "bf16", "int32", "bool"};
    return type >= VWN_F32 && type <= VWN_U8 ? names[type] : "no type";
  }

  const vwn_call &call_;
  const char *problem_ = nullptr;
  static constexpr double largest = 9007199254740992.0; /* 2^53 */
};

}  // namespace VWN_ISA
}  // namespace vwn
