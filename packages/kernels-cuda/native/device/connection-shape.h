/** A connection step as a kernel's argument; vwn.md §3. */
#pragma once
#include <cstdint>

/** A function of the host that nvcc also compiles for kernels. */
#if defined(__CUDACC__)
#define VWN_ON_BOTH __host__ __device__ inline
#else
#define VWN_ON_BOTH inline
#endif

namespace vwn {
namespace cuda {

struct bf16;

/** Of the state [tokens, n, db] and the backbone [tokens, m, db]; which halves the step has, and of which kind. */
struct ConnectionShape {
  int64_t m, n, db, tokens;
  float eps, normEps;
  int32_t write, read, dynamic, normed;
};

/** One connection's parameters, and the norm [m, db] of the sublayer behind it; those that it lacks are null. */
struct ConnectionParameters {
  const float *staticAlpha, *staticBeta, *normWeight, *alphaFn, *betaFn, *alphaScale, *betaScale, *sublayerNorm;
};

/** Their gradients. */
struct ConnectionGradients {
  float *staticAlpha, *staticBeta, *normWeight, *alphaFn, *betaFn, *alphaScale, *betaScale, *sublayerNorm;
};

/** What the backward pass reads and writes besides parameters; what a step lacks is null. Sums are each block's own. */
struct ConnectionGradTensors {
  const bf16 *h, *out, *hNext, *dhNext, *dx;
  bf16 *dh, *dout;
  float *partial; /* [blocks, SumsOfStep::count] */
};

/** Columns of coefficients: those of Â and then B, or those of A°. */
VWN_ON_BOTH int64_t writeColumns(const ConnectionShape &s) { return s.n + s.m; }

/**
 * Floats that a block works in: of the forward pass two states, a backbone, coefficients and reciprocals; of the backward
 * pass four states, and the coefficients' tanh beside them. With the sublayer's norm also a sum for each warp, and backward
 * what was read.
 */
constexpr int64_t roomOfSums = 32;
inline int64_t forwardRoom(const ConnectionShape &s) {
  return 2 * s.n * s.db + s.m * s.db + s.n * writeColumns(s) + s.n + (s.normed ? roomOfSums : 0);
}
inline int64_t backwardRoom(const ConnectionShape &s) {
  return 4 * s.n * s.db + s.m * s.db + 2 * s.n * writeColumns(s) + s.n + (s.normed ? roomOfSums + s.m * s.db : 0);
}
/** Sums of each kind begin on 32 bytes, so that several can be written at once. */
VWN_ON_BOTH int64_t inEights(int64_t floats) { return (floats + 7) / 8 * 8; }
/** One part's sums for the parameters of a set: static parts and scales [n, columns], and from here on weights [columns, db]. */
VWN_ON_BOTH int64_t weightSumsFrom(const ConnectionShape &s, int64_t columns) { return inEights(2 * s.n * columns); }
VWN_ON_BOTH int64_t sumsOfSet(const ConnectionShape &s, int64_t columns) {
  return weightSumsFrom(s, columns) + inEights(columns * s.db);
}

/** Where one part's sums for a step stand: the write's set, that of the read, and the sublayer's norm [m, db]. */
struct SumsOfStep {
  int64_t read, norm, count;
};
VWN_ON_BOTH SumsOfStep sumsOfStep(const ConnectionShape &s) {
  const int64_t read = sumsOfSet(s, writeColumns(s)), norm = read + sumsOfSet(s, s.m);
  return {read, norm, norm + (s.normed ? inEights(s.m * s.db) : 0)};
}

}  // namespace cuda
}  // namespace vwn
