/**
 * The backward pass of a connection step in bf16 by tensor cores; connection-step-grad.cu has the other shapes. Of a token,
 * with X the state that is read, H the one that is written, P the gradient of the products H·W, and d… gradients:
 *   read:    dA° = X·dReadᵀ    dNext += A°·dRead + P·Wᵀ − X·shift     dW += Xᵀ·P
 *   write:   dÂ = H·dNextᵀ     dB = dNext·outᵀ     dout = Bᵀ·dNext
 *            dH = Â·dNext + P·Wᵀ − H·shift         dW += Hᵀ·P
 * where `shift` is the norm's own term: P·(H·W)·r²/db, summed over a slot's coefficients. Coefficients, P, W, dRead and dNext
 * are rounded to bf16 before they are multiplied. dW stays in registers from token to token. As on the way forward slots are filled
 * up to rows of zeros, whose coefficients, norms and gradients are zeros, too, and leave no trace in any sum.
 */
#include "connection-tiles-coefficients.h"
#include "connection-tiles-norm.h"

namespace vwn {
namespace cuda {
namespace {

/** What was read, A°ᵀ·X, once more, in float32. */
template <class S>
VWN_DEVICE void readAgain(const ConnectionShape &s, const GradRoom &room, const Stage &stage) {
  const int m = static_cast<int>(s.m), stride = strideOfRead(s.db);
  const TokenShare share = shareOfTokens(stage.rows / S::ofToken, room.warp, S::warps);
  float *read = room.read() + share.token * m * stride;
  gatherRows<S::ofToken>(s, share, room.coefficients, room.ofCoefficients, stage.state, room.stride,
                         [&](int c, int d, const FloatPair &pair) {
                           if (c < m) putPair(read + c * stride + d, pair);
                         });
  __syncthreads();
}

/** [A°, P] of a lane's rows, as one left factor where both have up to 8 columns. */
VWN_DEVICE Left coefficientsAndProducts(const GradRoom &room, int row) {
  Left a;
  const int at = (row + laneOfWarp() % 16) * room.ofCoefficients;
  loadFour((laneOfWarp() < 16 ? room.coefficients : room.products) + at, a.words);
  return a;
}
/** Rows of dRead, and from the eighth on those of W, at 16 columns of the state. */
VWN_DEVICE void rightsOfReadAndWeights(const bf16 *dRead, const bf16 *weights, int stride, int m, const bf16 *zeros, Right (&rights)[2]) {
  uint32_t words[4];
  const int row = laneOfWarp() % 8;
  const bf16 *rows = laneOfWarp() % 16 < 8 ? dRead : weights;
  loadFourTransposed(row < m ? rows + row * stride + laneOfWarp() / 16 * 8 : zeros, words);
  rights[0] = {words[0], words[1]};
  rights[1] = {words[2], words[3]};
}

/** dNext += A°·dRead + P·Wᵀ − X·shift. */
template <class S, int units>
VWN_DEVICE void addToNext(const ConnectionShape &s, const GradRoom &room, const Stage &stage) {
  const int m = static_cast<int>(s.m), ofCoefficients = room.ofCoefficients;
  stateGradient<S, units>(s, room, stage, room.dNext, [&](const Share &of, int first, int tiles, Sum(&to)[S::stateTiles][2]) {
    const bf16 *dRead = stage.backbone + of.row / S::ofToken * m * room.stride;
    multiplyTiles(
        16, of, first, tiles, [&](int) { return diagonal(1.0f, 1.0f); },
        [&](int tile, int, Right(&b)[2]) { rightsAt(room.dNext + of.row * room.stride + tile * 16, room.stride, b); }, to);
    if constexpr (S::isNarrow) {
      multiplyTiles(
          16, of, first, tiles, [&](int) { return coefficientsAndProducts(room, of.row); },
          [&](int tile, int, Right(&b)[2]) {
            rightsOfReadAndWeights(dRead + tile * 16, stage.weights + tile * 16, room.stride, m, room.zeros, b);
          },
          to);
    } else {
      multiplyTiles(
          16, of, first, tiles, [&](int) { return leftAt(room.coefficients + of.row * ofCoefficients, ofCoefficients); },
          [&](int tile, int, Right(&b)[2]) { rightsAtSomeRows(dRead + tile * 16, room.stride, m, room.zeros, b); }, to);
      multiplyTiles(
          16, of, first, tiles, [&](int) { return leftAt(room.products + of.row * ofCoefficients, ofCoefficients); },
          [&](int tile, int, Right(&b)[2]) { rightsAtSomeRows(stage.weights + tile * 16, room.stride, m, room.zeros, b); }, to);
    }
  });
}

/** Through the read: to dNext, whose copy arrives meanwhile. */
template <class S>
VWN_DEVICE void readStage(const ConnectionShape &s, const GradRoom &room, const Stage &stage, float *weights, WeightSums<S> &sums) {
  using Tiles = SetTiles<S, false>;
  const Part<S, Tiles> part(room, stage.rows);
  Products<Tiles> products{};
  readCoefficients(s, room, stage, part, products);
  __syncthreads();
  if (s.normed) {
    readAgain<S>(s, room, stage);
    throughNorm<S>(s, room, stage);
  }
  readGradient(s, room, stage, part, products);
  awaitCopies<1>();
  __syncthreads();
  weightGradient<S, false>(s, room, stage, weights, sums);
  addToNext<S, Tiles::units>(s, room, stage);
  __syncthreads();
}

/** dout = Bᵀ·dNext, in the place of out. */
template <class S>
VWN_DEVICE void backboneGradient(const ConnectionShape &s, const GradRoom &room, const Stage &stage) {
  const int m = static_cast<int>(s.m);
  const TokenShare share = shareOfTokens(stage.rows / S::ofToken, room.warp, S::warps);
  bf16 *dout = stage.backbone + share.token * m * room.stride;
  gatherRows<S::ofToken>(s, share, room.coefficients + S::ofToken, room.ofCoefficients, room.dNext, room.stride,
             [&](int j, int d, const FloatPair &pair) {
               if (j < m) pairAt(dout + j * room.stride + d) = packed(pair.lower, pair.upper);
             });
}

/** P of B's columns: behind the first 8 there are none where m is up to 8. */
template <class S>
VWN_DEVICE Left productsOfBeta(const GradRoom &room, int row) {
  Left a = leftAt(room.products + row * room.ofCoefficients + S::ofToken, room.ofCoefficients);
  if (S::isNarrow) a.words[2] = a.words[3] = 0;
  return a;
}

/** Through the write: dout and dh = Â·dNext + P·Wᵀ − H·shift in the places of out and h. */
template <class S>
VWN_DEVICE void writeStage(const ConnectionShape &s, const GradRoom &room, const Stage &stage, float *weights,
                           WeightSums<S> &sums) {
  using Tiles = SetTiles<S, true>;
  constexpr int ofToken = S::ofToken;
  const int ofCoefficients = room.ofCoefficients;
  writeGradient<S, Tiles>(s, room, stage);
  __syncthreads();
  weightGradient<S, true>(s, room, stage, weights, sums);
  backboneGradient<S>(s, room, stage);
  __syncthreads();
  stateGradient<S, Tiles::units>(s, room, stage, stage.state, [&](const Share &of, int first, int tiles, Sum(&to)[S::stateTiles][2]) {
    const bf16 *dNext = room.dNext + of.row / ofToken * ofToken * room.stride;
    const auto byWeights = [&](int tile, int k, Right(&b)[2]) { rightsAt(stage.weights + k * room.stride + tile * 16, room.stride, b); };
    multiplyTiles(
        ofToken, of, first, tiles, [&](int k) { return leftAt(room.coefficients + of.row * ofCoefficients + k, ofCoefficients); },
        [&](int tile, int k, Right(&b)[2]) { rightsAt(dNext + k * room.stride + tile * 16, room.stride, b); }, to);
    multiplyTiles(
        ofToken, of, first, tiles, [&](int k) { return leftAt(room.products + of.row * ofCoefficients + k, ofCoefficients); }, byWeights, to);
    multiplyTiles(
        16, of, first, tiles, [&](int) { return productsOfBeta<S>(room, of.row); },
        [&](int tile, int, Right(&b)[2]) { byWeights(tile, ofToken, b); }, to);
  });
  __syncthreads();
}

/** Sums of a set for static parts and scales over the tokens that a block had at once. */
template <class S>
VWN_DEVICE void putSums(const ConnectionShape &s, const CoefficientSet &set, const GradRoom &room, int tokens, int from, float *to) {
  const int n = static_cast<int>(s.n), columns = static_cast<int>(set.columns), count = n * columns;
  for (int at = static_cast<int>(threadIdx.x); at < 2 * count; at += static_cast<int>(blockDim.x)) {
    const float *sums = at < count ? room.offsets : room.scales;
    const int i = at % count / columns, c = at % count % columns, filled = c < n ? 0 : S::ofToken - n;
    float sum = 0;
    for (int token = 0; token < tokens; token++) sum += sums[(token * S::ofToken + i) * room.ofSums + from + c + filled];
    to[at] = sum;
  }
}

/** W of both sets, and zeros where sums begin. */
VWN_DEVICE void begin(const ConnectionShape &s, const ConnectionTiles &t, const CoefficientSet &write, const CoefficientSet &read,
                      const ConnectionGradTensors &io, const GradRoom &room) {
  const int64_t ofStep = sumsOfStep(s).count, ofRoom = 2 * t.tokens * rowsOfToken(s) * room.ofSums;
  float *sums = sumsOfBlock(s, io, true);
  for (int64_t i = threadIdx.x; i < ofStep; i += blockDim.x) sums[i] = 0;
  for (int64_t i = threadIdx.x; i < ofRoom; i += blockDim.x) room.offsets[i] = 0;
  for (int64_t i = threadIdx.x; s.normed && i < s.m * s.db; i += blockDim.x) room.ofNorm[i] = 0;
  loadBothWeights(s, write, read, room);
}

/** What a block has added up goes to the device's memory. */
template <class S>
VWN_DEVICE void end(const ConnectionShape &s, const CoefficientSet &write, const CoefficientSet &read, int tokens,
                    const ConnectionGradTensors &io, const GradRoom &room, WeightSums<S> &sums) {
  const int size = static_cast<int>(s.m * s.db);
  if (s.write) putSums<S>(s, write, room, tokens, 0, sumsOfBlock(s, io, true));
  if (s.read) putSums<S>(s, read, room, tokens, static_cast<int>(readSumsFrom(s)), sumsOfBlock(s, io, false));
  float *ofNorm = sumsOfBlock(s, io, true) + sumsOfStep(s).norm;
  for (int i = static_cast<int>(threadIdx.x); s.normed && i < size; i += static_cast<int>(blockDim.x)) ofNorm[i] = room.ofNorm[i];
  if (s.db > S::rowsOfPass) return;
  if (s.write) putWeights<S, true>(s, room, 0, weightsOfBlock(s, io, true), sums);
  if (s.read) putWeights<S, false>(s, room, 0, weightsOfBlock(s, io, false), sums);
}

/** Of a turn: both halves of a step take one each. */
VWN_DEVICE int64_t firstToken(const ConnectionShape &s, const ConnectionTiles &t, int turn) {
  return (blockIdx.x + static_cast<int64_t>(turn >> (s.read && s.write ? 1 : 0)) * gridDim.x) * t.tokens;
}

/** A block's way through its tokens, `tokens` at once, the read before the write, which take turns with the buffers. */
template <class S>
struct Turns {
  const ConnectionShape &s;
  const ConnectionTiles &t;
  const ConnectionGradTensors &io;
  const GradRoom &room;
  const StateMoves &moves;

  VWN_DEVICE bool hasBoth() const { return s.read && s.write; }
  VWN_DEVICE int64_t first(int turn) const { return firstToken(s, t, turn); }
  /** Tokens that are there: none, or less, behind the last turn. */
  VWN_DEVICE int count(int turn) const {
    const int64_t left = s.tokens - first(turn);
    return left < t.tokens ? static_cast<int>(left) : t.tokens;
  }
  VWN_DEVICE bool isFirst(int turn) const { return !hasBoth() || turn % 2 == 0; }
  VWN_DEVICE bool isLast(int turn) const { return !hasBoth() || turn % 2 == 1; }
  VWN_DEVICE bool isRead(int turn) const { return s.read && (!s.write || isFirst(turn)); }
  VWN_DEVICE int rows() const { return t.tokens * S::ofToken; }
  VWN_DEVICE bf16 *state(int turn) const { return room.states + (turn & (t.buffers - 1)) * rows() * room.stride; }
  VWN_DEVICE bf16 *backbone(int turn) const {
    return room.backbones + (turn & (t.buffers - 1)) * t.tokens * static_cast<int>(s.m) * room.stride;
  }

  /** Asks for a turn's state and backbone. */
  VWN_DEVICE void ask(int turn) const {
    const int m = static_cast<int>(s.m), tokens = count(turn);
    if (tokens > 0) {
      const bf16 *h = isRead(turn) && s.write ? io.hNext : io.h, *x = isRead(turn) ? io.dx : io.out;
      moves.copy(h + first(turn) * s.n * s.db, t.tokens, tokens, state(turn));
      copyRows(moves.chunks, x + first(turn) * s.m * s.db, t.tokens * m, tokens * m, room.stride, backbone(turn));
    }
    commitCopies();
  }
  /** Asks for the gradient of the next state, zeros where there is none, as the second group of a turn's copies. */
  VWN_DEVICE void askForNext(int turn) const {
    const bf16 *from = io.dhNext ? io.dhNext + first(turn) * s.n * s.db : io.h;
    if (isFirst(turn)) moves.copy(from, t.tokens, io.dhNext ? count(turn) : 0, room.dNext);
    commitCopies();
  }
  VWN_DEVICE void store(int turn) const {
    if (!isRead(turn))
      storeRows(moves.chunks, backbone(turn), count(turn) * static_cast<int>(s.m), room.stride, io.dout + first(turn) * s.m * s.db);
    if (isLast(turn)) moves.store(s.write ? state(turn) : room.dNext, count(turn), io.dh + first(turn) * s.n * s.db);
    if (!isRead(turn) || isLast(turn)) __syncthreads();
  }
};

template <class S>
VWN_DEVICE void connectionTilesGrad(const ConnectionShape &shape, const ConnectionTiles &tiles, const ConnectionParameters &writing,
                                    const ConnectionParameters &reading, const ConnectionGradTensors &io) {
  VWN_SHARED(bf16, shared);
  const ConnectionShape s = shapeOf<S>(shape);
  const ConnectionTiles t = tilesOf<S>(tiles);
  const auto warp = [] {
    const int own = anew(static_cast<int>(threadIdx.x)) / warpSize_;
    return S::isKnown ? __shfl_sync(0xffffffffu, own, 0) & (S::warps - 1) : own;
  };
  const CoefficientSet write = writeSet(s, writing), read = readSet(s, reading);
  const StateMoves moves(s, S::ofToken, static_cast<int>(s.db) + ofChunk, 32 * S::warps);
  WeightSums<S> sums = {};
  // Addresses that did not change from turn to turn would take all registers.
  const auto roomAnew = [&] { return divide<S>(s, t, shared + anew(0), warp()); };
  begin(s, t, write, read, io, roomAnew());
  if (t.buffers > 1) Turns<S>{s, t, io, roomAnew(), moves}.ask(0);
  for (int turn = 0; firstToken(s, t, turn) < s.tokens; turn++) {
    const GradRoom room = roomAnew();
    const Turns<S> turns{s, t, io, room, moves};
    // Of three groups of copies the first is this turn's, the second dNext, the third the next turn's.
    if (t.buffers == 1) turns.ask(turn);
    turns.askForNext(turn);
    if (t.buffers > 1) turns.ask(turn + 1);
    else commitCopies();
    bf16 *state = turns.state(turn), *backbone = turns.backbone(turn);
    if (turns.isRead(turn)) {
      awaitCopies<2>();
      __syncthreads();
      const int sumsFrom = static_cast<int>(readSumsFrom(s));
      readStage<S>(s, room, {read, room.reading, state, backbone, turns.rows(), turns.count(turn), sumsFrom},
                   weightsOfBlock(s, io, false), sums);
    } else {
      awaitCopies<1>();
      __syncthreads();
      writeStage<S>(s, room, {write, room.writing, state, backbone, turns.rows(), turns.count(turn), 0}, weightsOfBlock(s, io, true),
                    sums);
    }
    turns.store(turn);
  }
  // What is computed anew from it is not kept until here.
  ConnectionShape again = s;
  if (!S::isKnown) again.db = anew(static_cast<int>(s.db));
  end<S>(again, write, read, t.tokens, io, divide<S>(again, t, shared, warp()), sums);
}

#define VWN_ENTRY_OF_GRAD(suffix, slots)                                                                                 \
  VWN_ENTRY_IN_BOUNDS(connectionTilesGrad, suffix, slots, 32 * slots::warps, 1,                                            \
                      (ConnectionShape shape, ConnectionTiles tiles, ConnectionParameters writing, ConnectionParameters reading, \
                       ConnectionGradTensors tensors),                                                                   \
                      (shape, tiles, writing, reading, tensors))
#define VWN_ENTRY_OF_SLOTS(count, most)                                                                                  \
  using UpTo##most##x##count = Slots<count, most>;                                                                       \
  VWN_ENTRY_OF_GRAD(upTo##most##x##count, UpTo##most##x##count)
#define VWN_ENTRY_OF_KNOWN(m, n, db, tokens)                                                                             \
  using Known##m##x##n##x##db = Slots<n, n / 4, m, db, tokens>;                                                          \
  VWN_ENTRY_OF_GRAD(of##m##x##n##x##db, Known##m##x##n##x##db)
VWN_EACH_KNOWN(VWN_ENTRY_OF_KNOWN)
VWN_ENTRY_OF_SLOTS(16, 4)
VWN_ENTRY_OF_SLOTS(16, 8)
VWN_ENTRY_OF_SLOTS(32, 8)
VWN_ENTRY_OF_SLOTS(32, 16)
VWN_ENTRY_OF_SLOTS(64, 16)
// So wide that dW stays in registers up to D = 3072 of (4,16) and (8,32), and 2048 of (8,64); where numbers are known it always does.
static_assert(UpTo4x16::rowsOfPass == 768 && UpTo8x32::rowsOfPass == 384 && UpTo16x64::rowsOfPass == 256);

}  // namespace
}  // namespace cuda
}  // namespace vwn
