/**
 * The backward pass of a connection step with few slots in bf16; connection-step-grad.cu has the other shapes. Of a token, with
 * X the state that is read, H the one that is written, P the gradient of the products with W:
 *   read:    dA° = X·dReadᵀ    dNext += A°·dRead + P·Wᵀ − X·shift     dW += Xᵀ·P
 *   write:   dÂ = H·dNextᵀ     dB = dNext·outᵀ     dout = Bᵀ·dNext
 *            dH = Â·dNext + P·Wᵀ − H·shift         dW += Hᵀ·P
 * where `shift` is the norm's own term: P·(H·W)·r²/db, summed over a slot's coefficients. Gradients of parameters stay in
 * registers from token to token: a thread has those of W for its columns, a lane those of its coefficient.
 */
#include "connection-few.h"

namespace vwn {
namespace cuda {
namespace {

/** What a block adds up for a set. */
template <int columnsOfSet, int columns>
struct SetGradient {
  float offset = 0, scale = 0; /* of this lane's coefficient */
  Own<columnsOfSet, columns> weights{};
};

/** Gradients of the products with W, [n, columns], and of each row the norm's own term, in its first column. */
struct ProductGradient {
  const float *products, *shifts;
};

/** From this lane's gradient `up` of its coefficient; takes two rooms. */
template <int columnsOfSet>
VWN_DEVICE ProductGradient productGradient(const ConnectionShape &s, const LaneOfSet &lane, const Coefficient &own, float up,
                                           float *rooms, int index, float &offset, float &scale) {
  offset += up;
  scale += up * own.activation;
  const float product = up * lane.scale * (1.0f - own.activation * own.activation) * own.reciprocal;
  float dot = 0;
#pragma unroll
  for (int c = 0; c < columnsOfSet; c++) dot += __shfl_sync(allLanes, product * own.product, lane.slot * columnsOfSet + c);
  const float shift = dot * own.reciprocal * own.reciprocal / static_cast<float>(s.db);
  return {shown(rooms, index, product), shown(rooms, index + 1, shift)};
}

/** dW += Pᵀ·state, and to += P·Wᵀ − state·shift. */
template <int n, int columnsOfSet, int columns>
VWN_DEVICE void addProducts(const ProductGradient &gradient, const Own<n, columns> &state, const float *weights, const Place &place,
                            Own<columnsOfSet, columns> &ofWeights, Own<n, columns> &to) {
#pragma unroll
  for (int c = 0; c < columnsOfSet; c++) {
    const Own<1, columns> row = floatsOf<1, columns>(weights, c, place);
#pragma unroll
    for (int i = 0; i < n; i++) {
      const float product = gradient.products[i * columnsOfSet + c];
      addScaled(ofWeights.at[c], product, state.at[i]);
      addScaled(to.at[i], product, row.at[0]);
    }
  }
#pragma unroll
  for (int i = 0; i < n; i++) addScaled(to.at[i], -gradient.shifts[i * columnsOfSet], state.at[i]);
}

/**
 * Through the sublayer's norm: dx becomes the gradient of what was read, which is read once more. With g = dx·weight and
 * r = 1/rms: dRead = r·g − read·mean(g·read)·r³.
 */
template <class F>
VWN_DEVICE void normGradient(const ConnectionShape &s, const float *weight, const Place &place, const float *alpha,
                             const Own<F::n, F::columns> &state, Own<F::m, F::columns> &dx, Own<F::m, F::columns> &ofNorm,
                             BlockSums &sums) {
  const Own<F::m, F::columns> read = readOf<F::m>(alpha, state), weights = floatsOf<F::m, F::columns>(weight, 0, place);
  float values[2] = {0, 0};
#pragma unroll
  for (int c = 0; c < F::m; c++) {
    values[0] += dot(read.at[c], read.at[c]);
#pragma unroll
    for (int k = 0; k < F::columns; k++) values[1] += dx.at[c][k] * weights.at[c][k] * read.at[c][k];
  }
  const float sum = sums(values), size = static_cast<float>(s.m * s.db);
  const float r = rsqrtf(__shfl_sync(allLanes, sum, 0) / size + s.normEps);
  const float shift = __shfl_sync(allLanes, sum, 1) * r * r * r / size;
#pragma unroll
  for (int c = 0; c < F::m; c++)
#pragma unroll
    for (int k = 0; k < F::columns; k++) {
      const float up = dx.at[c][k];
      ofNorm.at[c][k] += up * read.at[c][k] * r;
      dx.at[c][k] = up * weights.at[c][k] * r - read.at[c][k] * shift;
    }
}

/** A block's own: what stays from token to token. */
template <class F>
struct FewBlock {
  const ConnectionShape &s;
  Place place;
  const float *ofWrite, *ofRead, *norm;
  LaneOfSet writeLane, readLane;
  SetGradient<F::ofWrite, F::columns> write;
  SetGradient<F::ofRead, F::columns> read;
  Own<F::m, F::columns> ofNorm;
  BlockSums sums;
  float *rooms;

  struct Coefficients {
    Coefficient write, read;
  };
  /** Whether one sum over the block has lanes enough for both sets. */
  static constexpr int sumsOfWrite = F::n * (F::ofWrite + 1), sumsOfBoth = sumsOfWrite + F::n * (F::ofRead + 1);
  VWN_DEVICE bool evaluatesBoth() const { return sumsOfBoth <= warpSize_ && s.write && s.read; }
  /** By that one sum, in which what the read's are made of stands behind the write's. */
  VWN_DEVICE Coefficients evaluateBoth(const Own<F::n, F::columns> &written, const Own<F::n, F::columns> &stateRead) {
    if constexpr (sumsOfBoth > warpSize_) return {};
    else {
      float values[sumsOfBoth];
      putProducts<F::n, F::ofWrite>(written, ofWrite, place, 0, values);
      putProducts<F::n, F::ofRead>(stateRead, ofRead, place, sumsOfWrite, values);
      const float sum = sums(values), behind = __shfl_sync(allLanes, sum, (laneOfWarp() + sumsOfWrite) % warpSize_);
      return {coefficientOf<F::n, F::ofWrite>(s, writeLane, sum), coefficientOf<F::n, F::ofRead>(s, readLane, behind)};
    }
  }
  VWN_DEVICE Coefficient evaluateWrite(const Own<F::n, F::columns> &state) {
    return evaluate<F::n, F::ofWrite>(s, writeLane, state, ofWrite, place, sums);
  }
  VWN_DEVICE Coefficient evaluateRead(const Own<F::n, F::columns> &state) {
    return evaluate<F::n, F::ofRead>(s, readLane, state, ofRead, place, sums);
  }

  /** Adds to dNext, the gradient of the state that was read; dx is used up. */
  VWN_DEVICE void throughRead(const Coefficient &own, const Own<F::n, F::columns> &state, Own<F::m, F::columns> &dx,
                              Own<F::n, F::columns> &dNext) {
    constexpr int m = F::m, n = F::n;
    const float *alpha = shown(rooms, 0, own.alpha);
    if (s.normed) normGradient<F>(s, norm, place, alpha, state, dx, ofNorm, sums);
    float values[n * m];
#pragma unroll
    for (int i = 0; i < n; i++)
#pragma unroll
      for (int c = 0; c < m; c++) {
        values[i * m + c] = dot(state.at[i], dx.at[c]);
        addScaled(dNext.at[i], alpha[i * m + c], dx.at[c]);
      }
    const auto gradient = productGradient<m>(s, readLane, own, sums(values), rooms, 1, read.offset, read.scale);
    addProducts<n, m>(gradient, state, ofRead, place, read.weights, dNext);
  }

  /** From dNext to dh, which is returned, and dout, in the place of out. */
  VWN_DEVICE Own<F::n, F::columns> throughWrite(const Coefficient &own, const Own<F::n, F::columns> &state,
                                                Own<F::m, F::columns> &out, const Own<F::n, F::columns> &dNext) {
    constexpr int m = F::m, n = F::n, all = F::ofWrite;
    float values[n * all];
#pragma unroll
    for (int i = 0; i < n; i++)
#pragma unroll
      for (int c = 0; c < all; c++)
        values[i * all + c] = c < n ? dot(state.at[i], dNext.at[c < n ? c : 0]) : dot(dNext.at[i], out.at[c < n ? 0 : c - n]);
    const float up = sums(values);
    const float *alpha = shown(rooms, 3, own.alpha);
    Own<n, F::columns> dh{};
    out = {};
#pragma unroll
    for (int i = 0; i < n; i++) {
#pragma unroll
      for (int c = 0; c < n; c++) addScaled(dh.at[i], alpha[i * all + c], dNext.at[c]);
#pragma unroll
      for (int q = 0; q < m; q++) addScaled(out.at[q], alpha[i * all + n + q], dNext.at[i]);
    }
    const auto gradient = productGradient<all>(s, writeLane, own, up, rooms, 4, write.offset, write.scale);
    addProducts<n, all>(gradient, state, ofWrite, place, write.weights, dh);
    return dh;
  }
};

/** To [n, columns] of static parts, as many of scales, and [columns, db] of W. */
template <int n, int columnsOfSet, int columns>
VWN_DEVICE void putGradient(const SetGradient<columnsOfSet, columns> &gradient, const Place &place, float *to) {
  constexpr int count = n * columnsOfSet;
  if (threadIdx.x < count) to[threadIdx.x] = gradient.offset, to[count + threadIdx.x] = gradient.scale;
  putRows(gradient.weights, place, to + inEights(2 * count));
}

template <class F>
VWN_DEVICE void connectionFewGrad(const ConnectionShape &s, const ConnectionParameters &writing, const ConnectionParameters &reading,
                                  const ConnectionGradTensors &io) {
  constexpr int m = F::m, n = F::n, columns = F::columns;
  VWN_SHARED(float, shared);
  float *ofWrite = shared, *ofRead = shared + F::ofWrite * s.db;
  const CoefficientSet write = writeSet(s, writing), read = readSet(s, reading);
  const Place place{static_cast<int>(s.db), static_cast<int>(threadIdx.x) * columns};
  float *room = ofRead + F::ofRead * s.db;
  FewBlock<F> block{s,  place, ofWrite, ofRead, reading.sublayerNorm, {}, {}, {}, {}, {}, BlockSums(room), room + roomOfFewSums};
  if (s.write) foldWeights<F::ofWrite>(s, write, ofWrite), block.writeLane = laneOfSet<n>(s, write);
  if (s.read) foldWeights<F::ofRead>(s, read, ofRead), block.readLane = laneOfSet<n>(s, read);
  __syncthreads();

  const int64_t ofState = s.n * s.db, ofBackbone = s.m * s.db;
  const Staging<columns> staging{reinterpret_cast<Packed<columns> *>(room + roomOfFewSums + roomOfShown)};
  const auto ask = [&](int64_t token) {
    if (token < s.tokens && s.read) staging.template ask<n>((s.write ? io.hNext : io.h) + token * ofState, place, 0);
    if (token < s.tokens && s.read) staging.template ask<m>(io.dx + token * ofBackbone, place, 2 * n);
    if (token < s.tokens && s.write) staging.template ask<n>(io.h + token * ofState, place, n);
    commitCopies();
  };
  ask(blockIdx.x);
  for (int64_t token = blockIdx.x; token < s.tokens; token += gridDim.x) {
    awaitCopies<0>();
    const auto stored = staging.template take<n>(place, 0, s.read);
    const auto storedH = staging.template take<n>(place, n, s.write);
    const auto storedX = staging.template take<m>(place, 2 * n, s.read);
    ask(token + gridDim.x);
    // These are wanted later, and asked for now.
    const auto storedNext = fetch<n, columns>(io.dhNext + token * ofState, place, io.dhNext != nullptr);
    const auto storedOut = fetch<m, columns>(io.out + token * ofBackbone, place, s.write);
    const bool areThere = block.evaluatesBoth();
    typename FewBlock<F>::Coefficients own{};
    if (areThere) own = block.evaluateBoth(unpacked(storedH), unpacked(stored));
    Own<n, columns> dNext = unpacked(storedNext);
    if (s.read) {
      const Own<n, columns> state = unpacked(stored);
      Own<m, columns> dx = unpacked(storedX);
      block.throughRead(areThere ? own.read : block.evaluateRead(state), state, dx, dNext);
    }
    if (s.write) {
      const Own<n, columns> state = unpacked(storedH);
      Own<m, columns> out = unpacked(storedOut);
      dNext = block.throughWrite(areThere ? own.write : block.evaluateWrite(state), state, out, dNext);
      store(packedRows(out), place, io.dout + token * ofBackbone);
    }
    store(packedRows(dNext), place, io.dh + token * ofState);
  }

  const SumsOfStep at = sumsOfStep(s);
  float *sums = io.partial + blockIdx.x * at.count;
  if (s.write) putGradient<n>(block.write, place, sums);
  if (s.read) putGradient<n>(block.read, place, sums + at.read);
  if (s.normed) putRows(block.ofNorm, place, sums + at.norm);
}

#define VWN_ENTRY_OF_FEW(m, n, columns)                                                                                    \
  using Few##m##x##n = Few<m, n, columns>;                                                                                 \
  VWN_ENTRY(connectionFewGrad, of##m##x##n, Few##m##x##n,                                                                      \
            (ConnectionShape shape, ConnectionParameters writing, ConnectionParameters reading, ConnectionGradTensors tensors),   \
            (shape, writing, reading, tensors))
VWN_EACH_FEW(VWN_ENTRY_OF_FEW)

}  // namespace
}  // namespace cuda
}  // namespace vwn
