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
#include "connection-tiles-grad.h"

namespace vwn {
namespace cuda {
namespace {

/** What was read, A°ᵀ·X, once more, in float32. */
template <class S>
VWN_DEVICE void readAgain(const ConnectionShape &s, const GradRoom &room, const Stage &stage) {
  const int m = static_cast<int>(s.m), stride = strideOfRead(s.db);
  gatherRows<S::gatheredTiles>(s, stage.rows / S::ofToken, S::ofToken, room.coefficients, room.ofCoefficients, stage.state, room.stride,
                               [&](int token, int c, int d, const FloatPair &pair) {
                                 if (c < m) putPair(room.read() + (token * m + c) * stride + d, pair);
                               });
  __syncthreads();
}

/** Through the read: to dNext, whose copy arrives meanwhile. */
template <class S>
VWN_DEVICE void readStage(const ConnectionShape &s, const GradRoom &room, const Stage &stage, float *weights, WeightSums<S> &sums) {
  constexpr int ofToken = S::ofToken;
  const Share share = shareOf(stage.rows);
  const int m = static_cast<int>(s.m), token = share.row / ofToken;
  Kept<1> kept{};
  evaluateStage<ofToken>(s, room, stage, kept, [](int, int, int, const Left &) {});
  if (s.normed) {
    __syncthreads();
    readAgain<S>(s, room, stage);
    const auto total = [&](int, float own) { return blockSum(own, room.sums); };
    for (int of = 0; of < stage.tokens; of++) {
      bf16 *own = stage.backbone + of * m * room.stride;
      sublayerNormGradient(s, static_cast<int>(s.db), stage.set.parameters.sublayerNorm, room.read() + of * m * strideOfRead(s.db),
                           room.ofNorm, total, [&](int c, int d) -> uint32_t & { return pairAt(own + c * room.stride + d); });
    }
  }
  Sum ups[1][2] = {};
  const bf16 *backbone = stage.backbone + token * m * room.stride;
  for (int k = 0; share.part < stage.tiles && k < static_cast<int>(s.db); k += 16)
    addByRows(room, backbone, m, 0, k, leftAt(stage.state + share.row * room.stride + k, room.stride), ups[0]);
  productGradient<ofToken>(s, room, stage, kept, ups);
  awaitCopies<1>();
  __syncthreads();
  weightGradient<S, false>(s, room, stage, weights, sums);
  stateGradient<S>(s, room, stage, true, room.dNext, [&](const Share &of, int first, int tiles, Sum(&to)[S::stateTiles][2]) {
    multiplyTiles(
        16, of, first, tiles,
        [&](int) { return leftAt(room.coefficients + of.row * room.ofCoefficients, room.ofCoefficients); },
        [&](int tile, int, Right(&b)[2]) { rightsAtSomeRows(backbone + tile * 16, room.stride, m, room.zeros, b); }, to);
    multiplyTiles(
        16, of, first, tiles,
        [&](int) { return leftAt(room.products + of.row * room.ofCoefficients, room.ofCoefficients); },
        [&](int tile, int, Right(&b)[2]) { rightsAtSomeRows(stage.weights + tile * 16, room.stride, m, room.zeros, b); }, to);
  });
  __syncthreads();
}

/** dout = Bᵀ·dNext, in the place of out. */
template <class S>
VWN_DEVICE void backboneGradient(const ConnectionShape &s, const GradRoom &room, const Stage &stage) {
  const int m = static_cast<int>(s.m);
  bf16 *dout = stage.backbone;
  gatherRows<S::gatheredTiles>(s, stage.rows / S::ofToken, S::ofToken, room.coefficients + S::ofToken, room.ofCoefficients, room.dNext,
                               room.stride, [&](int token, int j, int d, const FloatPair &pair) {
                                 if (j < m) pairAt(dout + (token * m + j) * room.stride + d) = packed(pair.lower, pair.upper);
                               });
}

/** Through the write: dout and dh in the places of out and h. */
template <class S>
VWN_DEVICE void writeStage(const ConnectionShape &s, const GradRoom &room, const Stage &stage, float *weights,
                           WeightSums<S> &sums) {
  constexpr int ofToken = S::ofToken;
  const bf16 *dNext = room.dNext + shareOf(stage.rows).row / ofToken * ofToken * room.stride;
  {
    Kept<S::tilesOfWarp> kept{};
    Sum ups[S::tilesOfWarp][2] = {};
    evaluateStage<ofToken>(s, room, stage, kept, [&](int i, int tile, int k, const Left &a) {
      if (tile < ofToken / 16) addByRows(room, dNext, ofToken, tile, k, a, ups[i]);
    });
    betaGradient<ofToken>(s, room, stage, ups);
    productGradient<ofToken>(s, room, stage, kept, ups);
  }
  __syncthreads();
  weightGradient<S, true>(s, room, stage, weights, sums);
  backboneGradient<S>(s, room, stage);
  __syncthreads();
  stateGradient<S>(s, room, stage, false, stage.state, [&](const Share &of, int first, int tiles, Sum(&to)[S::stateTiles][2]) {
    multiplyTiles(
        ofToken, of, first, tiles,
        [&](int k) { return leftAt(room.coefficients + of.row * room.ofCoefficients + k, room.ofCoefficients); },
        [&](int tile, int k, Right(&b)[2]) { rightsAt(dNext + k * room.stride + tile * 16, room.stride, b); }, to);
    multiplyTiles(
        ofToken + 16, of, first, tiles,
        [&](int k) { return leftAt(room.products + of.row * room.ofCoefficients + k, room.ofCoefficients); },
        [&](int tile, int k, Right(&b)[2]) { rightsAt(stage.weights + k * room.stride + tile * 16, room.stride, b); }, to);
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
  if (threadIdx.x < ofChunk) room.zeros[threadIdx.x] = toBf16(0.0f);
  if (s.write) loadWeights(s, write, static_cast<int>(writeColumnsOfTiles(s)), room.stride, room.writing);
  // Tiles of the write's W reach into the read's, which must be finite even where there is none.
  loadWeights(s, {read.parameters, s.read ? s.m : 0, false}, static_cast<int>(readWeightRows(s)), room.stride, room.reading);
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
  if (s.write) putWeights<S, true>(s, 0, weightsOfBlock(s, io, true), sums);
  if (s.read) putWeights<S, false>(s, 0, weightsOfBlock(s, io, false), sums);
}

/** A block's way through its tokens, `tokens` at once, the read before the write, which take turns with the buffers. */
template <class S>
struct Turns {
  const ConnectionShape &s;
  const ConnectionTiles &t;
  const ConnectionGradTensors &io;
  const GradRoom &room;

  VWN_DEVICE int halves() const { return s.read + s.write; }
  VWN_DEVICE int64_t first(int turn) const {
    return (blockIdx.x + static_cast<int64_t>(turn / halves()) * gridDim.x) * t.tokens;
  }
  /** Tokens that are there: none, or less, behind the last turn. */
  VWN_DEVICE int count(int turn) const {
    const int64_t left = s.tokens - first(turn);
    return left < t.tokens ? static_cast<int>(left) : t.tokens;
  }
  VWN_DEVICE bool isFirst(int turn) const { return turn % halves() == 0; }
  VWN_DEVICE bool isLast(int turn) const { return (turn + 1) % halves() == 0; }
  VWN_DEVICE bool isRead(int turn) const { return s.read && (!s.write || isFirst(turn)); }
  VWN_DEVICE int rows() const { return t.tokens * S::ofToken; }
  VWN_DEVICE bf16 *state(int turn) const { return room.states + turn % t.buffers * rows() * room.stride; }
  VWN_DEVICE bf16 *backbone(int turn) const {
    return room.backbones + turn % t.buffers * t.tokens * static_cast<int>(s.m) * room.stride;
  }

  /** Asks for a turn's state and backbone. */
  VWN_DEVICE void ask(int turn) const {
    const int db = static_cast<int>(s.db), m = static_cast<int>(s.m), tokens = count(turn);
    if (tokens > 0) {
      const bf16 *h = isRead(turn) && s.write ? io.hNext : io.h, *x = isRead(turn) ? io.dx : io.out;
      copySlots(s, h + first(turn) * s.n * s.db, S::ofToken, t.tokens, tokens, room.stride, state(turn));
      copyRows(db, x + first(turn) * s.m * s.db, t.tokens * m, tokens * m, room.stride, backbone(turn));
    }
    commitCopies();
  }
  /** Asks for the gradient of the next state, zeros where there is none, as the second group of a turn's copies. */
  VWN_DEVICE void askForNext(int turn) const {
    const bf16 *from = io.dhNext ? io.dhNext + first(turn) * s.n * s.db : io.h;
    if (isFirst(turn)) copySlots(s, from, S::ofToken, t.tokens, io.dhNext ? count(turn) : 0, room.stride, room.dNext);
    commitCopies();
  }
  VWN_DEVICE void store(int turn) const {
    const int db = static_cast<int>(s.db), m = static_cast<int>(s.m);
    if (!isRead(turn)) storeRows(db, backbone(turn), count(turn) * m, room.stride, io.dout + first(turn) * s.m * s.db);
    if (isLast(turn))
      storeSlots(s, s.write ? state(turn) : room.dNext, S::ofToken, count(turn), room.stride, io.dh + first(turn) * s.n * s.db);
    __syncthreads();
  }
};

template <class S>
VWN_DEVICE void connectionTilesGrad(const ConnectionShape &s, const ConnectionTiles &t, const ConnectionParameters &writing,
                                    const ConnectionParameters &reading, const ConnectionGradTensors &io) {
  VWN_SHARED(bf16, shared);
  const GradRoom room = divide(s, t, shared);
  const CoefficientSet write = writeSet(s, writing), read = readSet(s, reading);
  const Turns<S> turns{s, t, io, room};
  WeightSums<S> sums = {};
  begin(s, t, write, read, io, room);
  if (t.buffers > 1) turns.ask(0);
  for (int turn = 0; turns.count(turn) > 0; turn++) {
    // Of three groups of copies the first is this turn's, the second dNext, the third the next turn's.
    if (t.buffers == 1) turns.ask(turn);
    turns.askForNext(turn);
    if (t.buffers > 1) turns.ask(turn + 1);
    else commitCopies();
    bf16 *state = turns.state(turn), *backbone = turns.backbone(turn);
    if (turns.isRead(turn)) {
      awaitCopies<2>();
      __syncthreads();
      const int columns = static_cast<int>(s.m), sumsFrom = static_cast<int>(readSumsFrom(s));
      readStage<S>(s, room, {read, room.reading, state, backbone, turns.rows(), turns.count(turn), columns, 1, sumsFrom},
                   weightsOfBlock(s, io, false), sums);
    } else {
      awaitCopies<1>();
      __syncthreads();
      const int columns = S::ofToken + static_cast<int>(s.m);
      writeStage<S>(s, room, {write, room.writing, state, backbone, turns.rows(), turns.count(turn), columns, S::tilesOfSet, 0},
                    weightsOfBlock(s, io, true), sums);
    }
    turns.store(turn);
  }
  end<S>(s, write, read, t.tokens, io, room, sums);
}

#define VWN_ENTRY_OF_SLOTS(count, most)                                                                                  \
  using UpTo##most##x##count = Slots<count, most>;                                                                       \
  VWN_ENTRY(connectionTilesGrad, upTo##most##x##count, UpTo##most##x##count,                                             \
            (ConnectionShape shape, ConnectionTiles tiles, ConnectionParameters writing, ConnectionParameters reading,   \
             ConnectionGradTensors tensors),                                                                             \
            (shape, tiles, writing, reading, tensors))
VWN_ENTRY_OF_SLOTS(16, 4)
VWN_ENTRY_OF_SLOTS(16, 8)
VWN_ENTRY_OF_SLOTS(32, 8)
VWN_ENTRY_OF_SLOTS(32, 16)
VWN_ENTRY_OF_SLOTS(64, 16)
// So wide that dW stays in registers up to D = 4096 of (4,16) and (8,32), and 2048 of (8,64).
static_assert(UpTo4x16::rowsOfPass == 1024 && UpTo8x32::rowsOfPass == 512 && UpTo16x64::rowsOfPass == 256);

}  // namespace
}  // namespace cuda
}  // namespace vwn
