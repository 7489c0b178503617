/** Gradients of a connection step's parameters from the sums that its backward pass has made: W is fn · norm weight / √db. */
#include "connection.h"

namespace vwn {
namespace cuda {
namespace {

/** The matrices of a column's gradients: as columnOf. */
struct GradientColumn {
  float *offset, *scale, *fn;
};
VWN_DEVICE GradientColumn gradientOf(const CoefficientSet &set, const ConnectionGradients &to, int64_t c, int64_t n) {
  if (set.isWrite && c >= n) return {to.staticBeta, to.betaScale, to.betaFn};
  return {to.staticAlpha, to.alphaScale, to.alphaFn};
}

/** Columns of alpha's matrices that the other half of a connection has: this one's gradients of them are zero. */
VWN_DEVICE void clearOthers(const ConnectionShape &s, const CoefficientSet &set, const ConnectionGradients &to) {
  const int64_t first = set.isWrite ? 0 : s.m, count = set.isWrite ? s.m : s.n, all = s.m + s.n;
  for (int64_t at = gridThread(); at < s.n * count; at += gridThreads()) {
    const int64_t place = at / count * all + first + at % count;
    to.staticAlpha[place] = 0;
    if (s.dynamic) to.alphaScale[place] = 0;
  }
  for (int64_t at = gridThread(); s.dynamic && at < s.db * count; at += gridThreads())
    to.alphaFn[at / count * all + first + at % count] = 0;
}

/** First a thread for every coefficient of every slot, then for every element of W, then a warp for every row of W. */
VWN_DEVICE void setGradient(const ConnectionShape &s, const CoefficientSet &set, const float *sums, const ConnectionGradients &to) {
  const int64_t coefficients = s.n * set.columns, ofWeights = s.dynamic ? set.columns * s.db : 0;
  const float root = 1.0f / sqrtf(static_cast<float>(s.db));
  const float *weights = sums + weightSumsFrom(s, set.columns);
  for (int64_t at = gridThread(); at < coefficients; at += gridThreads()) {
    const Column column = columnOf(s, set, at % set.columns);
    const GradientColumn gradient = gradientOf(set, to, at % set.columns, s.n);
    const int64_t place = at / set.columns * column.stride + column.at;
    gradient.offset[place] = sums[at];
    if (s.dynamic) gradient.scale[place] = sums[coefficients + at];
  }
  for (int64_t at = gridThread(); at < ofWeights; at += gridThreads()) {
    const int64_t c = at / s.db, d = at % s.db;
    const Column column = columnOf(s, set, c);
    gradientOf(set, to, c, s.n).fn[d * column.stride + column.at] = weights[at] * root * set.parameters.normWeight[d];
  }
  for (int64_t d = gridThread() / warpSize_; s.dynamic && d < s.db; d += gridThreads() / warpSize_) {
    float ofNorm = 0;
    for (int64_t c = blockLane(); c < set.columns; c += warpSize_) {
      const Column column = columnOf(s, set, c);
      ofNorm += weights[c * s.db + d] * root * column.fn[d * column.stride + column.at];
    }
    ofNorm = warpSum(ofNorm);
    if (blockLane() == 0) to.normWeight[d] = ofNorm;
  }
  clearOthers(s, set, to);
}

/** Of both halves: the grid's first row makes the write's, its second the read's and the sublayer norm's. */
template <class T>
VWN_DEVICE void connectionParameterGrad(const ConnectionShape &s, const ConnectionParameters &writing,
                                        const ConnectionParameters &reading, const T *sums, const ConnectionGradients &toWriting,
                                        const ConnectionGradients &toReading) {
  const SumsOfStep at = sumsOfStep(s);
  if (blockIdx.y == 0 && s.write) setGradient(s, writeSet(s, writing), sums, toWriting);
  if (blockIdx.y == 0 || !s.read) return;
  setGradient(s, readSet(s, reading), sums + at.read, toReading);
  for (int64_t i = gridThread(); s.normed && i < s.m * s.db; i += gridThreads()) toReading.sublayerNorm[i] = sums[at.norm + i];
}
VWN_SINGLE(connectionParameterGrad,
           (ConnectionShape shape, ConnectionParameters writing, ConnectionParameters reading, const real *sums,
            ConnectionGradients toWriting, ConnectionGradients toReading),
           (shape, writing, reading, sums, toWriting, toReading))

}  // namespace
}  // namespace cuda
}  // namespace vwn
