/** The forward pass of a connection step with few slots in bf16; connection-step.cu has the other shapes. */
#include "connection-few.h"

namespace vwn {
namespace cuda {
namespace {

/** next = Âᵀ·state + B·out. */
template <class F>
VWN_DEVICE Own<F::n, F::columns> written(const float *alpha, const Own<F::n, F::columns> &state,
                                         const Own<F::m, F::columns> &out) {
  Own<F::n, F::columns> next{};
#pragma unroll
  for (int i = 0; i < F::n; i++) {
#pragma unroll
    for (int j = 0; j < F::n; j++) addScaled(next.at[i], alpha[j * F::ofWrite + i], state.at[j]);
#pragma unroll
    for (int q = 0; q < F::m; q++) addScaled(next.at[i], alpha[i * F::ofWrite + F::n + q], out.at[q]);
  }
  return next;
}

/** Through the sublayer's norm, whose weight is [m, db]. */
template <class F>
VWN_DEVICE void normRead(const ConnectionShape &s, const float *weight, const Place &place, Own<F::m, F::columns> &read,
                         BlockSums &sums) {
  float squares[1] = {0};
#pragma unroll
  for (int c = 0; c < F::m; c++) squares[0] += dot(read.at[c], read.at[c]);
  const float r = rsqrtf(sums(squares) / static_cast<float>(s.m * s.db) + s.normEps);
  const Own<F::m, F::columns> weights = floatsOf<F::m, F::columns>(weight, 0, place);
#pragma unroll
  for (int c = 0; c < F::m; c++)
#pragma unroll
    for (int k = 0; k < F::columns; k++) read.at[c][k] *= r * weights.at[c][k];
}

template <class F>
VWN_DEVICE void connectionFew(const ConnectionShape &s, const ConnectionParameters &writing, const ConnectionParameters &reading,
                              const bf16 *h, const bf16 *out, bf16 *hNext, bf16 *x) {
  constexpr int m = F::m, n = F::n, columns = F::columns;
  VWN_SHARED(float, shared);
  float *ofWrite = shared, *ofRead = shared + F::ofWrite * s.db;
  float *rooms = ofRead + F::ofRead * s.db + roomOfFewSums;
  BlockSums sums(ofRead + F::ofRead * s.db);
  const CoefficientSet write = writeSet(s, writing), read = readSet(s, reading);
  LaneOfSet writeLane{}, readLane{};
  if (s.write) foldWeights<F::ofWrite>(s, write, ofWrite), writeLane = laneOfSet<n>(s, write);
  if (s.read) foldWeights<F::ofRead>(s, read, ofRead), readLane = laneOfSet<n>(s, read);
  __syncthreads();

  const Place place{static_cast<int>(s.db), static_cast<int>(threadIdx.x) * columns};
  const int64_t ofState = s.n * s.db, ofBackbone = s.m * s.db;
  Stored<n, columns> nextH = fetch<n, columns>(h + blockIdx.x * ofState, place, blockIdx.x < s.tokens);
  Stored<m, columns> nextOut = fetch<m, columns>(out + blockIdx.x * ofBackbone, place, s.write && blockIdx.x < s.tokens);
  for (int64_t token = blockIdx.x; token < s.tokens; token += gridDim.x) {
    const Own<m, columns> backbone = unpacked(nextOut);
    Own<n, columns> state = unpacked(nextH);
    // The next token's arrive while this one's are computed.
    const int64_t next = token + gridDim.x;
    nextH = fetch<n, columns>(h + next * ofState, place, next < s.tokens);
    nextOut = fetch<m, columns>(out + next * ofBackbone, place, s.write && next < s.tokens);
    if (s.write) {
      const Coefficient own = evaluate<n, F::ofWrite>(s, writeLane, state, ofWrite, place, sums);
      const auto stored = packedRows(written<F>(shown(rooms, 0, own.alpha), state, backbone));
      store(stored, place, hNext + token * ofState);
      // What the read sees, here and in the backward pass, is what was stored.
      state = unpacked(stored);
    }
    if (s.read) {
      const Coefficient own = evaluate<n, m>(s, readLane, state, ofRead, place, sums);
      Own<m, columns> what = readOf<m>(shown(rooms, 1, own.alpha), state);
      if (s.normed) normRead<F>(s, reading.sublayerNorm, place, what, sums);
      store(packedRows(what), place, x + token * ofBackbone);
    }
  }
}

#define VWN_ENTRY_OF_FEW(m, n, columns)                                                                                    \
  using Few##m##x##n = Few<m, n, columns>;                                                                                 \
  VWN_ENTRY(connectionFew, of##m##x##n, Few##m##x##n,                                                                      \
            (ConnectionShape shape, ConnectionParameters writing, ConnectionParameters reading, const bf16 *h, const bf16 *out,   \
             bf16 *hNext, bf16 *x),                                                                                       \
            (shape, writing, reading, h, out, hNext, x))
VWN_EACH_FEW(VWN_ENTRY_OF_FEW)

}  // namespace
}  // namespace cuda
}  // namespace vwn
