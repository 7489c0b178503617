/**
 * From one sublayer to the next in one pass: depth connection of the previous connection, then norm, coefficients and
 * read of the next, and the norm of its sublayer. Neither the carry nor what goes into that norm is stored. Either half may
 * be absent, and the norm.
 */
#include "connection.h"

namespace vwn {
namespace cuda {
namespace {

/** A block's room of the forward pass. */
struct ForwardRoom {
  float *state, *next, *backbone, *alpha, *reciprocal, *sums;
};

VWN_DEVICE ForwardRoom divide(const ConnectionShape &s, float *room) {
  const int64_t size = s.n * s.db;
  float *backbone = room + 2 * size, *alpha = backbone + s.m * s.db;
  float *reciprocal = alpha + s.n * (s.n + s.m);
  return {room, room + size, backbone, alpha, reciprocal, reciprocal + s.n};
}

/** next = Âᵀ·state + B·out, rounded as it is stored: that is what the read sees, here and in the backward pass. */
template <class T>
VWN_DEVICE void writeState(const ConnectionShape &s, const CoefficientSet &set, const ForwardRoom &room, const T *out,
                           T *hNext) {
  loadToken(out, s.m * s.db, room.backbone);
  if (s.dynamic) normalize(s, room.state, room.reciprocal);
  evaluate(s, set, room.state, room.reciprocal, nullptr, room.alpha);
  gather(s, room.alpha, set.columns, 0, s.n, room.state, room.next);
  spread(s, room.alpha, set.columns, s.n, s.m, room.backbone, true, room.next);
  for (int64_t i = threadIdx.x; i < s.n * s.db; i += blockDim.x) {
    put(hNext[i], room.next[i]);
    room.next[i] = rounded<T>(room.next[i]);
  }
  __syncthreads();
}

/** x = A°ᵀ·state, and the sublayer's norm of that. */
template <class T>
VWN_DEVICE void readState(const ConnectionShape &s, const CoefficientSet &set, const ForwardRoom &room, const float *state,
                          T *x) {
  if (s.dynamic) normalize(s, state, room.reciprocal);
  evaluate(s, set, state, room.reciprocal, nullptr, room.alpha);
  gather(s, room.alpha, set.columns, 0, s.m, state, room.backbone);
  if (s.normed) {
    const float r = reciprocalOfBackbone(s, room.backbone, room.sums);
    for (int64_t i = threadIdx.x; i < s.m * s.db; i += blockDim.x) room.backbone[i] *= r * set.parameters.sublayerNorm[i];
    __syncthreads();
  }
  storeToken(room.backbone, s.m * s.db, x);
}

template <class T>
VWN_DEVICE void connectionStep(const ConnectionShape &s, const ConnectionParameters &writing,
                               const ConnectionParameters &reading, const T *h, const T *out, T *hNext, T *x, float *spilled,
                               int64_t floats) {
  VWN_SHARED(float, shared);
  const ForwardRoom room = divide(s, roomOf(shared, spilled, floats));
  const int64_t ofState = s.n * s.db, ofBackbone = s.m * s.db;
  for (int64_t token = blockIdx.x; token < s.tokens; token += gridDim.x) {
    loadToken(h + token * ofState, ofState, room.state);
    if (s.write) writeState(s, writeSet(s, writing), room, out + token * ofBackbone, hNext + token * ofState);
    if (s.read) readState(s, readSet(s, reading), room, s.write ? room.next : room.state, x + token * ofBackbone);
  }
}
VWN_FLOATS(connectionStep,
           (ConnectionShape shape, ConnectionParameters writing, ConnectionParameters reading, const real *h,
            const real *out, real *hNext, real *x, float *spilled, int64_t floats),
           (shape, writing, reading, h, out, hNext, x, spilled, floats))

}  // namespace
}  // namespace cuda
}  // namespace vwn
