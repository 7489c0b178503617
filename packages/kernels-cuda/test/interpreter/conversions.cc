/** PTX ISA, "Data Movement and Conversion Instructions: cvt"; and choices by a predicate, which mov, selp and logic make. */
#include <bit>
#include <cmath>
#include <limits>

#include "forms.h"

namespace vwn {
namespace ptx {
namespace {

template <class To, class From>
To cast(From a) {
  return static_cast<To>(a);
}

/** To the nearest integer, or towards zero; beyond the type's range its end; of NaN zero. */
template <class To, class From, bool towardsZero>
To integerOf(From a) {
  if (std::isnan(a)) return 0;
  const From whole = towardsZero ? std::trunc(a) : std::nearbyint(a);
  if (whole <= static_cast<From>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  if (whole >= static_cast<From>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
  return static_cast<To>(whole);
}

/** To the nearest, ties to even; every NaN is the same one. */
uint16_t bf16Of(float x) {
  if (std::isnan(x)) return 0x7fff;
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

template <class To, class From>
void addInteger(Forms &forms, const std::string &to, const std::string &from) {
  forms["cvt." + to + '.' + from] = formOf<cast<To, From>, To, From>();
}
template <class To>
void addIntegersTo(Forms &forms, const std::string &to) {
  addInteger<To, uint16_t>(forms, to, "u16"), addInteger<To, int16_t>(forms, to, "s16");
  addInteger<To, uint32_t>(forms, to, "u32"), addInteger<To, int32_t>(forms, to, "s32");
  addInteger<To, uint64_t>(forms, to, "u64"), addInteger<To, int64_t>(forms, to, "s64");
}

template <class F, class I>
void addBetween(Forms &forms, const std::string &real, const std::string &integer) {
  forms["cvt.rn." + real + '.' + integer] = formOf<cast<F, I>, F, I>();
  forms["cvt.rni." + integer + '.' + real] = formOf<integerOf<I, F, false>, I, F>();
  forms["cvt.rzi." + integer + '.' + real] = formOf<integerOf<I, F, true>, I, F>();
}
template <class F>
void addReal(Forms &forms, const std::string &real) {
  addBetween<F, uint32_t>(forms, real, "u32"), addBetween<F, int32_t>(forms, real, "s32");
  addBetween<F, uint64_t>(forms, real, "u64"), addBetween<F, int64_t>(forms, real, "s64");
  addBetween<F, uint16_t>(forms, real, "u16"), addBetween<F, int16_t>(forms, real, "s16");
}

template <class T>
bool selectStep(const Instruction &in, Warp &warp, Mask mask) {
  T *to = warp.at<T>(in.to.slot);
  const T *a = warp.at<T>(in.a.slot), *b = warp.at<T>(in.b.slot);
  const Mask chosen = warp.predicates[static_cast<size_t>(in.c.slot)];
  eachLane(mask, [&](unsigned lane) { to[lane] = chosen >> lane & 1 ? a[lane] : b[lane]; });
  return true;
}

template <auto function>
bool truthStep(const Instruction &in, Warp &warp, Mask mask) {
  const Mask a = warp.predicates[static_cast<size_t>(in.a.slot)];
  const Mask b = in.b.slot < 0 ? 0 : warp.predicates[static_cast<size_t>(in.b.slot)];
  Mask &to = warp.predicates[static_cast<size_t>(in.to.slot)];
  to = (to & ~mask) | (function(a, b) & mask);
  return true;
}

}  // namespace

void addConversions(Forms &forms) {
  addIntegersTo<uint16_t>(forms, "u16"), addIntegersTo<int16_t>(forms, "s16");
  addIntegersTo<uint32_t>(forms, "u32"), addIntegersTo<int32_t>(forms, "s32");
  addIntegersTo<uint64_t>(forms, "u64"), addIntegersTo<int64_t>(forms, "s64");
  addReal<float>(forms, "f32"), addReal<double>(forms, "f64");
  forms["cvt.f64.f32"] = formOf<cast<double, float>, double, float>();
  forms["cvt.rn.f32.f64"] = formOf<cast<float, double>, float, double>();
  forms["cvt.sat.f32.f32"] = formOf<([](float a) { return a > 0.0f ? std::min(a, 1.0f) : 0.0f; }), float, float>();
  forms["cvt.rn.bf16.f32"] = formOf<bf16Of, uint16_t, float>();
  // The first operand is the upper half.
  forms["cvt.rn.bf16x2.f32"] =
      formOf<([](float a, float b) { return static_cast<uint32_t>(bf16Of(a)) << 16 | bf16Of(b); }), uint32_t, float, float>();
}

void addChoices(Forms &forms) {
  const auto p = Width::truth;
  for (const std::string type : {"b16", "u16", "s16"}) forms["selp." + type] = {selectStep<uint16_t>, {Width::two, Width::two, Width::two, p}};
  for (const std::string type : {"b32", "u32", "s32", "f32"}) forms["selp." + type] = {selectStep<uint32_t>, {Width::four, Width::four, Width::four, p}};
  for (const std::string type : {"b64", "u64", "s64", "f64"}) forms["selp." + type] = {selectStep<uint64_t>, {Width::eight, Width::eight, Width::eight, p}};
  forms["and.pred"] = {truthStep<([](Mask a, Mask b) { return a & b; })>, {p, p, p}};
  forms["or.pred"] = {truthStep<([](Mask a, Mask b) { return a | b; })>, {p, p, p}};
  forms["xor.pred"] = {truthStep<([](Mask a, Mask b) { return a ^ b; })>, {p, p, p}};
  forms["not.pred"] = {truthStep<([](Mask a, Mask) { return ~a; })>, {p, p}};
  forms["mov.pred"] = {truthStep<([](Mask a, Mask) { return a; })>, {p, p}};
  for (const std::string type : {"b16", "u16", "s16"}) forms["mov." + type] = formOf<([](uint16_t a) { return a; }), uint16_t, uint16_t>();
  for (const std::string type : {"b32", "u32", "s32", "f32"}) forms["mov." + type] = formOf<([](uint32_t a) { return a; }), uint32_t, uint32_t>();
  for (const std::string type : {"b64", "u64", "s64", "f64"}) forms["mov." + type] = formOf<([](uint64_t a) { return a; }), uint64_t, uint64_t>();
}

const Forms &arithmetic() {
  static const Forms all = [] {
    Forms forms;
    addIntegers(forms), addFloats(forms), addConversions(forms), addChoices(forms);
    return forms;
  }();
  return all;
}

}  // namespace ptx
}  // namespace vwn
