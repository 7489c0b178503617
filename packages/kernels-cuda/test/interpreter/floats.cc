/** PTX ISA, "Floating Point Instructions". Where hardware approximates, results are as exact as the host's. */
#include <bit>
#include <cmath>
#include <limits>

#include "forms.h"

namespace vwn {
namespace ptx {
namespace {

/** Of a·b + c the float that is not above it: both halves of the exact sum are at hand in double. */
float fmaDown(float a, float b, float c) {
  const float nearest = std::fma(a, b, c);
  if (!std::isfinite(nearest)) return nearest;
  const double product = static_cast<double>(a) * b, sum = product + c;
  const double ofC = sum - product, rest = (product - (sum - ofC)) + (c - ofC);
  const bool isAbove = nearest > sum || (nearest == sum && rest < 0);
  return isAbove ? std::nextafter(nearest, -std::numeric_limits<float>::infinity()) : nearest;
}

/** Subnormal numbers count as zero, of the operand and of the result. */
float flushed(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x; }

template <class T>
T least(T a, T b) {
  return std::isnan(a) ? b : std::isnan(b) ? a : a < b || (a == b && std::signbit(a)) ? a : b;
}
template <class T>
T most(T a, T b) {
  return std::isnan(a) ? b : std::isnan(b) ? a : a > b || (a == b && std::signbit(b)) ? a : b;
}

template <class T>
void addComparisons(Forms &forms, const std::string &type) {
  forms["setp.lt." + type] = comparison<([](T a, T b) { return a < b; }), T>();
  forms["setp.le." + type] = comparison<([](T a, T b) { return a <= b; }), T>();
  forms["setp.gt." + type] = comparison<([](T a, T b) { return a > b; }), T>();
  forms["setp.ge." + type] = comparison<([](T a, T b) { return a >= b; }), T>();
  forms["setp.eq." + type] = comparison<([](T a, T b) { return a == b; }), T>();
  forms["setp.ne." + type] = comparison<([](T a, T b) { return a < b || a > b; }), T>();
  forms["setp.ltu." + type] = comparison<([](T a, T b) { return !(a >= b); }), T>();
  forms["setp.leu." + type] = comparison<([](T a, T b) { return !(a > b); }), T>();
  forms["setp.gtu." + type] = comparison<([](T a, T b) { return !(a <= b); }), T>();
  forms["setp.geu." + type] = comparison<([](T a, T b) { return !(a < b); }), T>();
  forms["setp.equ." + type] = comparison<([](T a, T b) { return !(a < b || a > b); }), T>();
  forms["setp.neu." + type] = comparison<([](T a, T b) { return !(a == b); }), T>();
  forms["setp.num." + type] = comparison<([](T a, T b) { return !std::isnan(a) && !std::isnan(b); }), T>();
  forms["setp.nan." + type] = comparison<([](T a, T b) { return std::isnan(a) || std::isnan(b); }), T>();
}

template <class T>
void addOf(Forms &forms, const std::string &type) {
  for (const std::string rounding : {"", "rn."}) {
    forms["add." + rounding + type] = formOf<([](T a, T b) { return a + b; }), T, T, T>();
    forms["sub." + rounding + type] = formOf<([](T a, T b) { return a - b; }), T, T, T>();
    forms["mul." + rounding + type] = formOf<([](T a, T b) { return a * b; }), T, T, T>();
  }
  forms["fma.rn." + type] = formOf<([](T a, T b, T c) { return std::fma(a, b, c); }), T, T, T, T>();
  forms["div.rn." + type] = formOf<([](T a, T b) { return a / b; }), T, T, T>();
  forms["rcp.rn." + type] = formOf<[](T a) { return T{1} / a; }, T, T>();
  forms["sqrt.rn." + type] = formOf<([](T a) { return std::sqrt(a); }), T, T>();
  forms["neg." + type] = formOf<([](T a) { return -a; }), T, T>();
  forms["abs." + type] = formOf<([](T a) { return std::fabs(a); }), T, T>();
  forms["min." + type] = formOf<least<T>, T, T, T>();
  forms["max." + type] = formOf<most<T>, T, T, T>();
  // The first gives the sign, the second the rest.
  forms["copysign." + type] = formOf<([](T a, T b) { return std::copysign(b, a); }), T, T, T>();
  addComparisons<T>(forms, type);
}

}  // namespace

void addFloats(Forms &forms) {
  addOf<float>(forms, "f32"), addOf<double>(forms, "f64");
  forms["fma.rm.f32"] = formOf<fmaDown, float, float, float, float>();
  forms["ex2.approx.f32"] = formOf<([](float a) { return std::exp2(a); }), float, float>();
  forms["ex2.approx.ftz.f32"] = formOf<([](float a) { return flushed(std::exp2(flushed(a))); }), float, float>();
  forms["lg2.approx.f32"] = formOf<([](float a) { return std::log2(a); }), float, float>();
  forms["rcp.approx.ftz.f32"] = formOf<([](float a) { return flushed(1.0f / flushed(a)); }), float, float>();
  forms["rsqrt.approx.f32"] = formOf<([](float a) { return 1.0f / std::sqrt(a); }), float, float>();
  forms["tanh.approx.f32"] = formOf<([](float a) { return std::tanh(a); }), float, float>();
}

}  // namespace ptx
}  // namespace vwn
