/**
 * The forward pass of a connection step in bf16 by tensor cores; connection-step.cu has the other shapes. What it computes
 * and rounds is the same, but that coefficients and W are rounded to bf16 before they are multiplied. Slots are filled up to rows of
 * zeros (rowsOfToken), and coefficients of these are zeros. With H a token's state:
 *   coefficients [n, columns] = H·W       rows of H by rows of Wᵀ
 *   next [n, db] = Âᵀ·H + B·out           columns of Â by rows of H, rows of B by rows of out
 *   x [m, db] = A°ᵀ·next
 */
#include "connection-tiles-forward.h"

namespace vwn {
namespace cuda {
namespace {

/** Â and B of a token, or A°, behind a barrier: eqs. 11–14. */
template <class S, bool isWrite>
VWN_DEVICE void evaluateRows(const ConnectionShape &s, const CoefficientSet &set, const TileRoom &room, int rows, int tokens,
                             const bf16 *state, const bf16 *weights, float *shown) {
  const Share share = shareOf(rows, room.warp, warpsOfForward);
  showProducts<S, isWrite>(s, room, share, state, weights, shown);
  __syncthreads();
  makeCoefficients<S, isWrite>(s, set, room, share, tokens, shown);
  __syncthreads();
}

/** next = Âᵀ·state + B·out, rounded as it is stored. */
template <class S>
VWN_DEVICE void writeRows(const ConnectionShape &s, const TileRoom &room, int rows, const bf16 *state, const bf16 *backbone) {
  constexpr int ofToken = S::ofToken;
  const Share share = shareOf(rows, room.warp, warpsOfForward);
  const int m = static_cast<int>(s.m), token = tokenOf(share.row, ofToken), slot = share.row - token * ofToken;
  const bf16 *coefficients = room.coefficients + token * ofToken * room.ofCoefficients;
  const bf16 *own = state + token * ofToken * room.stride, *out = backbone + token * m * room.stride;
  Left carry[ofToken / 16], beta = leftAt(coefficients + slot * room.ofCoefficients + ofToken, room.ofCoefficients);
  // Behind the first 8 columns of B there are none where m is up to 8.
  if (S::halvesOfBackbone == 1) beta.words[2] = beta.words[3] = 0;
#pragma unroll
  for (int k = 0; k < ofToken; k += 16) carry[k / 16] = leftAtTransposed(coefficients + k * room.ofCoefficients + slot, room.ofCoefficients);
  const Stretch tiles = stretchOf(static_cast<int>(s.db) / 16, share.part, share.parts);
#pragma unroll(S::turnsAtOnce)
  for (int tile = tiles.begin; tile < tiles.end; tile++) {
    Sum sums[2] = {};
    const auto add = [&](const Left &a, const Right(&b)[2]) { multiplyAdd(sums[0], a, b[0]), multiplyAdd(sums[1], a, b[1]); };
    Right b[2];
#pragma unroll
    for (int k = 0; k < ofToken; k += 16) {
      rightsAt(own + k * room.stride + tile * 16, room.stride, b);
      add(carry[k / 16], b);
    }
    rightsAtSomeRows(out + tile * 16, room.stride, m, room.zeros, b);
    add(beta, b);
#pragma unroll
    for (int half = 0; half < 2; half++)
      eachPairOf(sums[half], share.row, tile * 16 + half * 8, [&](int row, int column, const FloatPair &pair) {
        pairAt(room.next + row * room.stride + column) = packed(pair.lower, pair.upper);
      });
  }
  __syncthreads();
}

/** x = A°ᵀ·state, [tokens, m, db] in float32, and each warp's part of its token's squares. */
template <class S>
VWN_DEVICE void readRows(const ConnectionShape &s, const TileRoom &room, const TokenShare &share, const bf16 *state, float *x) {
  const int m = static_cast<int>(s.m), stride = strideOfRead(s.db);
  float *own = x + share.token * m * stride, squares = 0;
  gatherRows<S::ofToken>(s, share, room.coefficients, room.ofCoefficients, state, room.stride, [&](int c, int d, const FloatPair &pair) {
    if (c >= m) return;
    putPair(own + c * stride + d, pair);
    squares += pair.lower * pair.lower + pair.upper * pair.upper;
  });
  squares = warpSum(squares);
  if (laneOfWarp() == 0) room.squares[share.token * share.parts + share.part] = squares;
  __syncthreads();
}

/** What was read of a warp's token goes through the sublayer's norm, where there is one, to where it is stored. */
VWN_DEVICE void storeRead(const ConnectionShape &s, const ConnectionParameters &reading, const TileRoom &room, const TokenShare &share,
                          int tokens, const float *x, bf16 *to) {
  if (share.token >= tokens) return;
  const int m = static_cast<int>(s.m), stride = strideOfRead(s.db);
  const Divisor chunks(s.db / ofChunk);
  float squares = 0;
  eachPart(share.parts, [&](int part) { squares += room.squares[share.token * share.parts + part]; });
  const float r = s.normed ? reciprocalOfRead(s, squares) : 1.0f;
#pragma unroll 2
  for (int at = share.part * warpSize_ + laneOfWarp(); at < m * chunks.by; at += share.parts * warpSize_) {
    const int c = chunks.quotient(at), d = (at - c * chunks.by) * ofChunk;
    float read[ofChunk], weights[ofChunk];
    load(x + (share.token * m + c) * stride + d, read);
    if (s.normed) load(reading.sublayerNorm + at * ofChunk, weights);
#pragma unroll
    for (int i = 0; i < ofChunk; i++) read[i] *= s.normed ? r * weights[i] : 1.0f;
    store(to + share.token * m * static_cast<int>(s.db) + at * ofChunk, read);
  }
}

VWN_DEVICE int64_t firstToken(const ConnectionTiles &t, int turn) {
  return (blockIdx.x + static_cast<int64_t>(turn) * gridDim.x) * t.tokens;
}
/** A block's way through its tokens, as many at once as it has room for. */
template <class S>
struct Turns {
  const ConnectionShape &s;
  const ConnectionTiles &t;
  const StateMoves &moves;
  const TileRoom &room;

  VWN_DEVICE int64_t first(int turn) const { return firstToken(t, turn); }
  /** Tokens that are there: none, or less, behind the last turn. */
  VWN_DEVICE int count(int turn) const {
    const int64_t left = s.tokens - first(turn);
    return left < t.tokens ? static_cast<int>(left) : t.tokens;
  }
  VWN_DEVICE bf16 *state(int turn) const { return room.states + (turn & (t.buffers - 1)) * room.ofState; }
  VWN_DEVICE bf16 *backbone(int turn) const {
    return room.backbones + (turn & (t.buffers - 1)) * t.tokens * static_cast<int>(s.m) * room.stride;
  }
  /** Asks for a turn's state and backbone. */
  VWN_DEVICE void ask(int turn, const bf16 *h, const bf16 *out) const {
    const int m = static_cast<int>(s.m), tokens = count(turn);
    if (tokens > 0) {
      moves.copy(h + first(turn) * s.n * s.db, t.tokens, tokens, state(turn));
      if (s.write) copyRows(moves.chunks, out + first(turn) * s.m * s.db, t.tokens * m, tokens * m, room.stride, backbone(turn));
    }
    commitCopies();
  }
};

template <class S>
VWN_DEVICE void connectionTiles(const ConnectionShape &shape, const ConnectionTiles &t, const ConnectionParameters &writing,
                                const ConnectionParameters &reading, const bf16 *h, const bf16 *out, bf16 *hNext, bf16 *x) {
  VWN_SHARED(bf16, shared);
  const ConnectionShape s = shapeOf<S>(shape);
  // Addresses that did not change from turn to turn would take all registers.
  const auto roomAnew = [&] { return divide<S>(s, t, shared + anew(0)); };
  const TileRoom fixed = divide<S>(s, t, shared);
  const CoefficientSet write = writeSet(s, writing), read = readSet(s, reading);
  const int rows = t.tokens * S::ofToken;
  const StateMoves moves(s, S::ofToken, static_cast<int>(s.db) + ofChunk, 32 * warpsOfForward);
  loadBothWeights(s, write, read, roomAnew());
  if (t.buffers > 1) Turns<S>{s, t, moves, roomAnew()}.ask(0, h, out);
  for (int turn = 0; firstToken(t, turn) < s.tokens; turn++) {
    const TileRoom room = S::isKnown ? fixed : roomAnew();
    const Turns<S> turns{s, t, moves, room};
    if (t.buffers > 1) {
      turns.ask(turn + 1, h, out);
      awaitCopies<1>();
    } else {
      turns.ask(turn, h, out);
      awaitCopies<0>();
    }
    __syncthreads();
    const int count = turns.count(turn);
    const bf16 *state = turns.state(turn);
    if (s.write) {
      evaluateRows<S, true>(s, write, room, rows, count, state, room.writing, reinterpret_cast<float *>(room.next));
      writeRows<S>(s, room, rows, state, turns.backbone(turn));
      moves.store(room.next, count, hNext + turns.first(turn) * s.n * s.db);
      state = room.next;
    }
    if (s.read) {
      // The state that is not needed any more, or not yet, has room for what is read.
      float *what = reinterpret_cast<float *>(s.write ? turns.state(turn) : room.next);
      const TokenShare share = shareOfTokens(t.tokens, room.warp, warpsOfForward);
      evaluateRows<S, false>(s, read, room, rows, count, state, room.reading, what);
      readRows<S>(s, room, share, state, what);
      storeRead(s, reading, room, share, count, what, x + turns.first(turn) * s.m * s.db);
    }
    __syncthreads();
  }
}

// Two blocks at once: one computes while the other waits on memory.
#define VWN_ENTRY_OF_ROWS(suffix, rows)                                                                              \
  VWN_ENTRY_IN_BOUNDS(connectionTiles, suffix, rows, 32 * warpsOfForward, 2,                                         \
                      (ConnectionShape shape, ConnectionTiles tiles, ConnectionParameters writing, ConnectionParameters reading, \
                       const bf16 *h, const bf16 *out, bf16 *hNext, bf16 *x),                                        \
                      (shape, tiles, writing, reading, h, out, hNext, x))
#define VWN_ENTRY_OF_KNOWN(m, n, db, tokens)        \
  using Known##m##x##n##x##db = Rows<n, m, db>;     \
  VWN_ENTRY_OF_ROWS(of##m##x##n##x##db, Known##m##x##n##x##db)
VWN_EACH_KNOWN(VWN_ENTRY_OF_KNOWN)
VWN_ENTRY_OF_ROWS(upTo16, Rows<16>)
VWN_ENTRY_OF_ROWS(upTo32, Rows<32>)
VWN_ENTRY_OF_ROWS(upTo64, Rows<64>)

}  // namespace
}  // namespace cuda
}  // namespace vwn
