/**
 * The backward pass of a connection step. Coefficients are rebuilt from the states. Each block adds up the gradients of
 * parameters over its own tokens, in their order.
 */
#include "connection.h"

namespace vwn {
namespace cuda {
namespace {

/** A block's room of the backward pass; `product` [n, db] is the gradient before the norm's own term, `read` [m, db]. */
struct BackwardRoom {
  float *state, *dNext, *dState, *product, *backbone, *alpha, *activation, *reciprocal, *sums, *read;
};

VWN_DEVICE BackwardRoom divide(const ConnectionShape &s, float *room) {
  const int64_t size = s.n * s.db, coefficients = s.n * (s.n + s.m);
  float *backbone = room + 4 * size, *alpha = backbone + s.m * s.db, *reciprocal = alpha + 2 * coefficients;
  float *sums = reciprocal + s.n;
  return {room,     room + size, room + 2 * size,      room + 3 * size, /* states */
          backbone, alpha,       alpha + coefficients, reciprocal,      sums,        sums + roomOfSums};
}

/** What one block adds up for a set: static parts and scales [n, columns], then weights [columns, db]. */
struct SetSums {
  float *offset, *scale, *weights;
};
VWN_DEVICE SetSums sumsIn(const ConnectionShape &s, int64_t columns, float *memory) {
  return {memory, memory + s.n * columns, memory + weightSumsFrom(s, columns)};
}

/** dh = g − h·mean(g·h)/rms², added to `to`; a warp a slot. */
VWN_DEVICE void normGradient(const ConnectionShape &s, const BackwardRoom &room, float *to) {
  for (int64_t i = blockWarp(); i < s.n; i += blockWarps()) {
    const float *g = room.product + i * s.db, *h = room.state + i * s.db;
    float dot = 0;
    for (int64_t d = blockLane(); d < s.db; d += warpSize_) dot += g[d] * h[d];
    const float r = room.reciprocal[i], shift = warpSum(dot) * r * r / static_cast<float>(s.db);
    for (int64_t d = blockLane(); d < s.db; d += warpSize_) to[i * s.db + d] += g[d] - h[d] * shift;
  }
  __syncthreads();
}

/**
 * From the gradient of alpha, in its place in the room, to sums for the parameters and, through tanh and norm, to the
 * gradient of the state, which is added to `to`.
 */
VWN_DEVICE void evaluateGradient(const ConnectionShape &s, const CoefficientSet &set, const BackwardRoom &room,
                                 const SetSums &sums, float *to) {
  const float root = 1.0f / sqrtf(static_cast<float>(s.db));
  for (int64_t at = threadIdx.x; at < s.n * set.columns; at += blockDim.x) {
    const float up = room.alpha[at];
    sums.offset[at] += up;
    if (!s.dynamic) continue;
    const int64_t i = at / set.columns;
    const Column column = columnOf(s, set, at % set.columns);
    const float t = room.activation[at];
    sums.scale[at] += up * t;
    room.alpha[at] = up * column.scale[i * column.stride + column.at] * (1.0f - t * t) * room.reciprocal[i];
  }
  __syncthreads();
  if (!s.dynamic) return;
  for (int64_t at = threadIdx.x; at < set.columns * s.db; at += blockDim.x) {
    const int64_t c = at / s.db, d = at % s.db;
    float sum = sums.weights[at];
    for (int64_t i = 0; i < s.n; i++) sum += room.alpha[i * set.columns + c] * room.state[i * s.db + d];
    sums.weights[at] = sum;
  }
  for (int64_t at = threadIdx.x; at < s.n * s.db; at += blockDim.x) {
    const int64_t i = at / s.db, d = at % s.db;
    float sum = 0;
    for (int64_t c = 0; c < set.columns; c++) {
      const Column column = columnOf(s, set, c);
      sum += room.alpha[i * set.columns + c] * column.fn[d * column.stride + column.at];
    }
    room.product[at] = sum * set.parameters.normWeight[d] * root;
  }
  __syncthreads();
  normGradient(s, room, to);
}

/**
 * Through the sublayer's norm: the gradient of x, in the backbone, becomes that of what was read, which is read once more.
 * With g = dx·weight and r = 1/rms: dRead = r·g − read·mean(g·read)·r³. The weight's gradient is added to `to`, by each
 * thread to elements of its own.
 */
VWN_DEVICE void sublayerNormGradient(const ConnectionShape &s, const CoefficientSet &set, const BackwardRoom &room, float *to) {
  const float *weight = set.parameters.sublayerNorm;
  gather(s, room.alpha, set.columns, 0, s.m, room.state, room.read);
  const float r = reciprocalOfBackbone(s, room.read, room.sums);
  float dot = 0;
  for (int64_t i = threadIdx.x; i < s.m * s.db; i += blockDim.x) dot += room.backbone[i] * weight[i] * room.read[i];
  const float shift = blockSum(dot, room.sums) * r * r * r / static_cast<float>(s.m * s.db);
  for (int64_t i = threadIdx.x; i < s.m * s.db; i += blockDim.x) {
    const float up = room.backbone[i], read = room.read[i];
    to[i] += up * read * r;
    room.backbone[i] = up * weight[i] * r - read * shift;
  }
  __syncthreads();
}

/** Through the read: adds to dNext, the gradient of the state that was read. */
template <class T>
VWN_DEVICE void readGradient(const ConnectionShape &s, const CoefficientSet &set, const BackwardRoom &room, const T *state,
                             const T *dx, const SetSums &sums, float *normSums) {
  loadToken(state, s.n * s.db, room.state);
  loadToken(dx, s.m * s.db, room.backbone);
  if (s.dynamic) normalize(s, room.state, room.reciprocal);
  evaluate(s, set, room.state, room.reciprocal, room.activation, room.alpha);
  if (s.normed) sublayerNormGradient(s, set, room, normSums);
  spread(s, room.alpha, set.columns, 0, s.m, room.backbone, true, room.dNext);
  coefficientGradient(s, room.state, room.backbone, set.columns, 0, s.m, room.alpha);
  evaluateGradient(s, set, room, sums, room.dNext);
}

/** Through the write: from dNext to dh and dout. */
template <class T>
VWN_DEVICE void writeGradient(const ConnectionShape &s, const CoefficientSet &set, const BackwardRoom &room, const T *h,
                              const T *out, const SetSums &sums, T *dh, T *dout) {
  loadToken(h, s.n * s.db, room.state);
  if (s.dynamic) normalize(s, room.state, room.reciprocal);
  evaluate(s, set, room.state, room.reciprocal, room.activation, room.alpha);
  spread(s, room.alpha, set.columns, 0, s.n, room.dNext, false, room.dState);
  gather(s, room.alpha, set.columns, s.n, s.m, room.dNext, room.backbone);
  storeToken(room.backbone, s.m * s.db, dout);
  loadToken(out, s.m * s.db, room.backbone);
  coefficientGradient(s, room.state, room.dNext, set.columns, 0, s.n, room.alpha);
  coefficientGradient(s, room.dNext, room.backbone, set.columns, s.n, s.m, room.alpha);
  evaluateGradient(s, set, room, sums, room.dState);
  storeToken(room.dState, s.n * s.db, dh);
}

/** What a step has besides its parameters; those that it lacks are null. */
template <class T>
struct Tensors {
  const T *h, *out, *hNext, *dhNext, *dx;
  T *dh, *dout;
};

/** `partial`: sums of each block over its tokens, see SumsOfStep. */
template <class T>
VWN_DEVICE void connectionStepGrad(const ConnectionShape &s, const ConnectionParameters &writing,
                                   const ConnectionParameters &reading, const Tensors<T> &io, float *partial, float *spilled,
                                   int64_t floats) {
  VWN_SHARED(float, shared);
  const BackwardRoom room = divide(s, roomOf(shared, spilled, floats));
  const CoefficientSet write = writeSet(s, writing), read = readSet(s, reading);
  const SumsOfStep at = sumsOfStep(s);
  float *own = partial + blockIdx.x * at.count;
  for (int64_t i = threadIdx.x; i < at.count; i += blockDim.x) own[i] = 0;
  __syncthreads();
  const SetSums ofWriting = sumsIn(s, write.columns, own), ofReading = sumsIn(s, read.columns, own + at.read);
  for (int64_t token = blockIdx.x; token < s.tokens; token += gridDim.x) {
    const int64_t state = token * s.n * s.db, backbone = token * s.m * s.db;
    for (int64_t i = threadIdx.x; i < s.n * s.db; i += blockDim.x)
      room.dNext[i] = io.dhNext ? toFloat(io.dhNext[state + i]) : 0.0f;
    __syncthreads();
    if (s.read) readGradient(s, read, room, (s.write ? io.hNext : io.h) + state, io.dx + backbone, ofReading, own + at.norm);
    if (s.write)
      writeGradient(s, write, room, io.h + state, io.out + backbone, ofWriting, io.dh + state, io.dout + backbone);
    else storeToken(room.dNext, s.n * s.db, io.dh + state);
  }
}
VWN_FLOATS(connectionStepGrad,
           (ConnectionShape shape, ConnectionParameters writing, ConnectionParameters reading, const real *h,
            const real *out, const real *hNext, const real *dhNext, const real *dx, real *dh, real *dout, float *partial,
            float *spilled, int64_t floats),
           (shape, writing, reading, Tensors<real>{h, out, hNext, dhNext, dx, dh, dout}, partial, spilled, floats))

}  // namespace
}  // namespace cuda
}  // namespace vwn
