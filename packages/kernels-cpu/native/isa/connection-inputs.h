/** Parameters of a connection step as the call brings them, and the coefficient sets that they make. */
#pragma once
#include "connection-coefficients.h"
#include "norm-rows.h"

namespace vwn {
namespace VWN_ISA {

/** A connection's parameters as they come, each or nothing. */
struct Parameters {
  const float *staticAlpha, *staticBeta, *normWeight, *alphaFn, *betaFn, *alphaScale, *betaScale;
};

/** What a step has: either half or both, coefficients that depend on the token, the sublayer's norm behind the read. */
struct Halves {
  bool write, read, dynamic, normed;
};

inline std::vector<Columns> writeColumns(const Shape &s, const Parameters &p) {
  return {{p.staticAlpha, p.alphaScale, p.alphaFn, s.m + s.n, s.m, s.n}, {p.staticBeta, p.betaScale, p.betaFn, s.m, 0, s.m}};
}
inline std::vector<Columns> readColumns(const Shape &s, const Parameters &p) {
  return {{p.staticAlpha, p.alphaScale, p.alphaFn, s.m + s.n, 0, s.m}};
}

/** Buffers come in this order: writing's parameters (2, or 7 when dynamic), then reading's (1, or 4), then the sublayer's norm. */
struct Inputs {
  Parameters writing{}, reading{};
  const float *sublayerNorm = nullptr; /* [m, db] */
  int next;

  Inputs(Call &call, int first, const Shape &s, Halves halves) : next(first) {
    const int64_t alpha = s.n * (s.m + s.n), beta = s.n * s.m, fn = s.db * (s.m + s.n);
    if (halves.write) {
      writing.staticAlpha = call.floats(next++, alpha);
      writing.staticBeta = call.floats(next++, beta);
      if (halves.dynamic) {
        writing.normWeight = call.floats(next++, s.db);
        writing.alphaFn = call.floats(next++, fn);
        writing.betaFn = call.floats(next++, {s.db, s.m});
        writing.alphaScale = call.floats(next++, alpha);
        writing.betaScale = call.floats(next++, beta);
      }
    }
    if (halves.read) {
      reading.staticAlpha = call.floats(next++, alpha);
      if (halves.dynamic) {
        reading.normWeight = call.floats(next++, s.db);
        reading.alphaFn = call.floats(next++, fn);
        reading.alphaScale = call.floats(next++, alpha);
      }
    }
    if (halves.normed) sublayerNorm = call.floats(next++, {s.m, s.db});
  }
};

/** The RMSNorm of the sublayer behind the read, over its whole input [m, db], in rows as a block has them. */
struct SublayerNorm {
  const float *weight = nullptr; /* [m, wide]; nothing: what was read leaves as it is */
  NormedRow row{};

  static int64_t room(const Shape &s) { return s.m * s.wide; }
  void prepare(const Shape &s, const float *from, float eps, float *memory) {
    loadRows(from, s.m, s, memory);
    weight = memory;
    row = {s.m * s.wide, s.m * s.db, eps};
  }
};

/** Coefficients of both halves and the norm behind them, for all threads. */
struct Sets {
  CoefficientSet write, read;
  SublayerNorm norm;

  bool prepare(const Shape &s, const Inputs &in, Halves halves, float normEps) {
    const int64_t first = wholeVectors(CoefficientSet::room(s, s.n + s.m)), second = wholeVectors(CoefficientSet::room(s, s.m));
    float *memory = static_cast<float *>(sharedScratch(Slot::packedB, (first + second + SublayerNorm::room(s)) * 4));
    if (!memory) return false;
    if (halves.write) write.prepare(s, in.writing.normWeight, writeColumns(s, in.writing), memory);
    if (halves.read) read.prepare(s, in.reading.normWeight, readColumns(s, in.reading), memory + first);
    if (halves.normed) norm.prepare(s, in.sublayerNorm, normEps, memory + first + second);
    return true;
  }
};

}  // namespace VWN_ISA
}  // namespace vwn
