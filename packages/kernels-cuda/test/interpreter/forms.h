/** How an opcode is done, and which widths its operands have: those of arithmetic by name. */
#pragma once
#include <initializer_list>
#include <string>
#include <type_traits>
#include <unordered_map>

#include "warp.h"

namespace vwn {
namespace ptx {

struct Form {
  Step step;
  /** Of the result and of the operands. */
  std::vector<Width> widths;
};
using Forms = std::unordered_map<std::string, Form>;

template <class T>
constexpr Width widthFor = sizeof(T) == 8 ? Width::eight : sizeof(T) == 4 ? Width::four : Width::two;

template <class Body>
inline void eachLane(Mask mask, const Body &body) {
  if (mask == allLanes) {
#pragma GCC ivdep
    for (unsigned lane = 0; lane < lanes; lane++) body(lane);
    return;
  }
  for (unsigned lane = 0; lane < lanes; lane++)
    if (mask >> lane & 1) body(lane);
}

template <auto function, class To, class... From>
struct Elementwise;
template <auto function, class To, class A>
struct Elementwise<function, To, A> {
  static bool step(const Instruction &in, Warp &warp, Mask mask) {
    To *to = warp.at<To>(in.to.slot);
    const A *a = warp.at<A>(in.a.slot);
    eachLane(mask, [&](unsigned lane) { to[lane] = function(a[lane]); });
    return true;
  }
};
template <auto function, class To, class A, class B>
struct Elementwise<function, To, A, B> {
  static bool step(const Instruction &in, Warp &warp, Mask mask) {
    To *to = warp.at<To>(in.to.slot);
    const A *a = warp.at<A>(in.a.slot);
    const B *b = warp.at<B>(in.b.slot);
    eachLane(mask, [&](unsigned lane) { to[lane] = function(a[lane], b[lane]); });
    return true;
  }
};
template <auto function, class To, class A, class B, class C>
struct Elementwise<function, To, A, B, C> {
  static bool step(const Instruction &in, Warp &warp, Mask mask) {
    To *to = warp.at<To>(in.to.slot);
    const A *a = warp.at<A>(in.a.slot);
    const B *b = warp.at<B>(in.b.slot);
    const C *c = warp.at<C>(in.c.slot);
    eachLane(mask, [&](unsigned lane) { to[lane] = function(a[lane], b[lane], c[lane]); });
    return true;
  }
};

/** A function of each lane's values: formOf<f, result, operands …>(). */
template <auto function, class To, class... From>
Form formOf() {
  return {Elementwise<function, To, From...>::step, {widthFor<To>, widthFor<From>...}};
}

template <auto function, class T>
bool compareStep(const Instruction &in, Warp &warp, Mask mask) {
  const T *a = warp.at<T>(in.a.slot), *b = warp.at<T>(in.b.slot);
  Mask result = 0;
  for (unsigned lane = 0; lane < lanes; lane++) result |= static_cast<Mask>(function(a[lane], b[lane])) << lane;
  Mask &to = warp.predicates[static_cast<size_t>(in.to.slot)];
  to = (to & ~mask) | (result & mask);
  return true;
}
template <auto function, class T>
Form comparison() {
  return {compareStep<function, T>, {Width::truth, widthFor<T>, widthFor<T>}};
}

void addIntegers(Forms &forms);
void addFloats(Forms &forms);
void addConversions(Forms &forms);
void addChoices(Forms &forms);

/** All of the above. */
const Forms &arithmetic();

}  // namespace ptx
}  // namespace vwn
