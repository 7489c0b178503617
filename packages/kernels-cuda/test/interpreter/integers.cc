/** PTX ISA, "Integer Arithmetic Instructions", "Extended-Precision", "Logic and Shift". */
#include <bit>

#include "forms.h"

namespace vwn {
namespace ptx {
namespace {

template <class T>
using Unsigned = std::make_unsigned_t<T>;
template <class T>
using Wide = std::conditional_t<sizeof(T) == 8, std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>,
                                std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>>;

template <class T>
T sum(T a, T b) {
  return static_cast<T>(static_cast<Unsigned<T>>(a) + static_cast<Unsigned<T>>(b));
}
template <class T>
T difference(T a, T b) {
  return static_cast<T>(static_cast<Unsigned<T>>(a) - static_cast<Unsigned<T>>(b));
}
template <class T>
T lowProduct(T a, T b) {
  return static_cast<T>(static_cast<Wide<T>>(a) * static_cast<Wide<T>>(b));
}
template <class T>
T highProduct(T a, T b) {
  return static_cast<T>(static_cast<Wide<T>>(a) * static_cast<Wide<T>>(b) >> 8 * sizeof(T));
}
/** The result of a division by zero is not told by the ISA: all ones. The least number by -1 is itself. */
template <class T>
T quotient(T a, T b) {
  if (b == 0) return static_cast<T>(-1);
  return static_cast<T>(static_cast<Wide<T>>(a) / static_cast<Wide<T>>(b));
}
template <class T>
T remainder(T a, T b) {
  if (b == 0) return a;
  return static_cast<T>(static_cast<Wide<T>>(a) % static_cast<Wide<T>>(b));
}

/** Shifts by more than the width leave nothing, or copies of the sign. */
template <class T>
T left(T a, uint32_t by) {
  return by >= 8 * sizeof(T) ? T{0} : static_cast<T>(static_cast<Unsigned<T>>(a) << by);
}
template <class T>
T right(T a, uint32_t by) {
  return by >= 8 * sizeof(T) ? (std::is_signed_v<T> && a < 0 ? static_cast<T>(-1) : T{0}) : static_cast<T>(a >> by);
}

template <class T>
void addOf(Forms &forms, const std::string &type) {
  forms["add." + type] = formOf<sum<T>, T, T, T>();
  forms["sub." + type] = formOf<difference<T>, T, T, T>();
  forms["mul.lo." + type] = formOf<lowProduct<T>, T, T, T>();
  forms["mul.hi." + type] = formOf<highProduct<T>, T, T, T>();
  forms["mad.lo." + type] = formOf<([](T a, T b, T c) { return sum(lowProduct(a, b), c); }), T, T, T, T>();
  forms["div." + type] = formOf<quotient<T>, T, T, T>();
  forms["rem." + type] = formOf<remainder<T>, T, T, T>();
  forms["min." + type] = formOf<([](T a, T b) { return a < b ? a : b; }), T, T, T>();
  forms["max." + type] = formOf<([](T a, T b) { return a > b ? a : b; }), T, T, T>();
  forms["neg." + type] = formOf<[](T a) { return difference(T{0}, a); }, T, T>();
  forms["abs." + type] = formOf<[](T a) { return a < 0 ? difference(T{0}, a) : a; }, T, T>();
  forms["shr." + type] = formOf<right<T>, T, T, uint32_t>();
  forms["setp.lt." + type] = comparison<([](T a, T b) { return a < b; }), T>();
  forms["setp.le." + type] = comparison<([](T a, T b) { return a <= b; }), T>();
  forms["setp.gt." + type] = comparison<([](T a, T b) { return a > b; }), T>();
  forms["setp.ge." + type] = comparison<([](T a, T b) { return a >= b; }), T>();
  forms["setp.eq." + type] = comparison<([](T a, T b) { return a == b; }), T>();
  forms["setp.ne." + type] = comparison<([](T a, T b) { return a != b; }), T>();
}

template <class T, class Twice>
void addWide(Forms &forms, const std::string &type) {
  forms["mul.wide." + type] = formOf<[](T a, T b) { return static_cast<Twice>(Twice{a} * Twice{b}); }, Twice, T, T>();
  forms["mad.wide." + type] = formOf<[](T a, T b, Twice c) { return sum(static_cast<Twice>(Twice{a} * Twice{b}), c); }, Twice, T, T, Twice>();
}

template <class T>
void addBits(Forms &forms, const std::string &type) {
  forms["and." + type] = formOf<([](T a, T b) { return static_cast<T>(a & b); }), T, T, T>();
  forms["or." + type] = formOf<([](T a, T b) { return static_cast<T>(a | b); }), T, T, T>();
  forms["xor." + type] = formOf<([](T a, T b) { return static_cast<T>(a ^ b); }), T, T, T>();
  forms["not." + type] = formOf<([](T a) { return static_cast<T>(~a); }), T, T>();
  forms["shl." + type] = formOf<left<T>, T, T, uint32_t>();
  forms["shr." + type] = formOf<right<T>, T, T, uint32_t>();
  forms["setp.eq." + type] = comparison<([](T a, T b) { return a == b; }), T>();
  forms["setp.ne." + type] = comparison<([](T a, T b) { return a != b; }), T>();
}

/** d = a·b's half + c + the carry, which is set anew or not. */
struct Carrying {
  bool isProduct, isHigh, isSubtracted, takesCarry, setsCarry;
};
template <Carrying how>
bool carryStep(const Instruction &in, Warp &warp, Mask mask) {
  uint32_t *to = warp.at<uint32_t>(in.to.slot);
  const uint32_t *a = warp.at<uint32_t>(in.a.slot), *b = warp.at<uint32_t>(in.b.slot);
  for (unsigned lane = 0; lane < lanes; lane++) {
    if (!(mask >> lane & 1)) continue;
    const uint64_t carry = how.takesCarry ? warp.carry >> lane & 1 : 0;
    uint64_t first = a[lane], second = b[lane];
    if constexpr (how.isProduct) {
      const uint64_t product = first * second;
      first = how.isHigh ? product >> 32 : product & 0xffffffffu, second = warp.at<uint32_t>(in.c.slot)[lane];
    }
    const uint64_t result = how.isSubtracted ? first - second - carry : first + second + carry;
    to[lane] = static_cast<uint32_t>(result);
    if (how.setsCarry) warp.carry = (warp.carry & ~(Mask{1} << lane)) | static_cast<Mask>((result >> 32 & 1) << lane);
  }
  return true;
}

void addCarrying(Forms &forms) {
  const auto w = Width::four;
  for (const std::string type : {"u32", "s32"}) {
    forms["add.cc." + type] = {carryStep<Carrying{false, false, false, false, true}>, {w, w, w}};
    forms["addc." + type] = {carryStep<Carrying{false, false, false, true, false}>, {w, w, w}};
    forms["addc.cc." + type] = {carryStep<Carrying{false, false, false, true, true}>, {w, w, w}};
    forms["sub.cc." + type] = {carryStep<Carrying{false, false, true, false, true}>, {w, w, w}};
    forms["subc." + type] = {carryStep<Carrying{false, false, true, true, false}>, {w, w, w}};
    forms["subc.cc." + type] = {carryStep<Carrying{false, false, true, true, true}>, {w, w, w}};
    forms["mad.lo.cc." + type] = {carryStep<Carrying{true, false, false, false, true}>, {w, w, w, w}};
    forms["madc.lo.cc." + type] = {carryStep<Carrying{true, false, false, true, true}>, {w, w, w, w}};
    forms["madc.hi.cc." + type] = {carryStep<Carrying{true, true, false, true, true}>, {w, w, w, w}};
    forms["madc.hi." + type] = {carryStep<Carrying{true, true, false, true, false}>, {w, w, w, w}};
  }
}

/** d = b with `length` bits of a in it, from `position` on. The fourth operand, the length, is the list's. */
bool insertBits(const Instruction &in, Warp &warp, Mask mask) {
  uint32_t *to = warp.at<uint32_t>(in.to.slot);
  const uint32_t *a = warp.at<uint32_t>(in.a.slot), *b = warp.at<uint32_t>(in.b.slot), *position = warp.at<uint32_t>(in.c.slot);
  const uint32_t *length = warp.at<uint32_t>(in.list.at(0).slot);
  eachLane(mask, [&](unsigned lane) {
    const uint64_t bits = ((uint64_t{1} << std::min(length[lane] & 255, 32u)) - 1) << std::min(position[lane] & 255, 32u);
    to[lane] = static_cast<uint32_t>((b[lane] & ~bits) | (uint64_t{a[lane]} << std::min(position[lane] & 255, 32u) & bits));
  });
  return true;
}

}  // namespace

void addIntegers(Forms &forms) {
  addBits<uint16_t>(forms, "b16"), addBits<uint32_t>(forms, "b32"), addBits<uint64_t>(forms, "b64");
  addOf<int16_t>(forms, "s16"), addOf<uint16_t>(forms, "u16");
  addOf<int32_t>(forms, "s32"), addOf<uint32_t>(forms, "u32");
  addOf<int64_t>(forms, "s64"), addOf<uint64_t>(forms, "u64");
  addWide<int16_t, int32_t>(forms, "s16"), addWide<uint16_t, uint32_t>(forms, "u16");
  addWide<int32_t, int64_t>(forms, "s32"), addWide<uint32_t, uint64_t>(forms, "u32");
  forms["popc.b32"] = formOf<([](uint32_t a) { return static_cast<uint32_t>(std::popcount(a)); }), uint32_t, uint32_t>();
  forms["clz.b32"] = formOf<([](uint32_t a) { return static_cast<uint32_t>(std::countl_zero(a)); }), uint32_t, uint32_t>();
  forms["clz.b64"] = formOf<([](uint64_t a) { return static_cast<uint32_t>(std::countl_zero(a)); }), uint32_t, uint64_t>();
  addCarrying(forms);
  forms["bfi.b32"] = {insertBits, {Width::four, Width::four, Width::four, Width::four, Width::four}};
}

}  // namespace ptx
}  // namespace vwn
