/** Parameters of a connection step as the call brings them, and where their gradients go. */
#pragma once
#include "../device/connection-shape.h"
#include "vwn_call.h"

namespace vwn {
namespace VWN_ISA {

/** Numbers: m, n, db, tokens, eps, write, read, dynamic, normed, normEps. */
inline ConnectionShape connectionShape(Call &call) {
  const auto flag = [&](int i) { return call.integer(i) ? 1 : 0; };
  return {call.dimension(0), call.dimension(1), call.dimension(2), call.dimension(3), call.real(4),
          call.real(9),      flag(5),           flag(6),           flag(7),           flag(6) && flag(8)};
}

inline const char *problemOf(const ConnectionShape &s) {
  if (s.m < 1 || s.n < 1 || s.db < 1) return "connection: m, n and db must be 1 or more";
  if (!s.write && !s.read) return "connection: a step writes, reads or does both";
  // Parameters are small; these limits keep every size in range.
  return s.m > 4096 || s.n > 65536 || s.db > 1048576 ? "connection: m, n or db is too large: m may be 4096, n 65536 and db 1048576 at most" : nullptr;
}

/** Takes buffers in the order of parameters: writing has 2, or 7 when dynamic, reading 1, or 4, and the sublayer's norm. */
class ParameterReader {
 public:
  ParameterReader(Call &call, int first, const ConnectionShape &shape) : next(first), call_(call), s_(shape) {}

  /** With ConnectionParameters or ConnectionGradients. */
  template <class P>
  P writing() {
    P p{};
    if (!s_.write) return p;
    p.staticAlpha = alpha();
    p.staticBeta = beta();
    if (!s_.dynamic) return p;
    p.normWeight = call_.floats(next++, s_.db);
    p.alphaFn = call_.floats(next++, {s_.db, s_.m + s_.n});
    p.betaFn = call_.floats(next++, {s_.db, s_.m});
    p.alphaScale = alpha();
    p.betaScale = beta();
    return p;
  }
  template <class P>
  P reading() {
    P p{};
    if (!s_.read) return p;
    p.staticAlpha = alpha();
    if (s_.dynamic) {
      p.normWeight = call_.floats(next++, s_.db);
      p.alphaFn = call_.floats(next++, {s_.db, s_.m + s_.n});
      p.alphaScale = alpha();
    }
    if (s_.normed) p.sublayerNorm = call_.floats(next++, {s_.m, s_.db});
    return p;
  }

  int next;

 private:
  float *alpha() { return call_.floats(next++, {s_.n, s_.m + s_.n}); }
  float *beta() { return call_.floats(next++, {s_.n, s_.m}); }

  Call &call_;
  const ConnectionShape &s_;
};

}  // namespace VWN_ISA
}  // namespace vwn
