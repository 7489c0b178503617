/**
 * The forward pass of a connection step in bf16 by tensor cores; connection-step.cu has the other shapes. What it computes
 * and rounds is the same, but that coefficients and W are rounded to bf16 before they are multiplied. Slots are filled up to rows of
 * zeros (rowsOfToken), and coefficients of these are zeros. With H a token's state:
 *   coefficients [n, columns] = H·W       rows of H by rows of Wᵀ
 *   next [n, db] = Âᵀ·H + B·out           columns of Â by rows of H, rows of B by rows of out
 *   x [m, db] = A°ᵀ·next
 */
#include "connection-tiles.h"

namespace vwn {
namespace cuda {
namespace {

/** Column tiles of which a warp holds the sums at once. */
constexpr int tilesAtOnce = 4;

/** A block's shared memory; matrices of bf16 have rows of `stride`, coefficients of `ofCoefficients`. */
struct TileRoom {
  bf16 *next, *coefficients, *writing, *reading, *zeros, *states, *backbones;
  float *sums;
  int stride, ofCoefficients, ofToken; /* the last: rows of each token */
};

VWN_DEVICE TileRoom divide(const ConnectionShape &s, const ConnectionTiles &t, bf16 *at) {
  const int64_t stride = s.db + ofChunk, ofToken = rowsOfToken(s), slots = t.tokens * ofToken;
  const int64_t ofCoefficients = ofToken + columnsOfTile + ofChunk;
  TileRoom room{};
  room.stride = static_cast<int>(stride), room.ofCoefficients = static_cast<int>(ofCoefficients);
  room.ofToken = static_cast<int>(ofToken);
  room.zeros = at, at += ofChunk;
  room.next = at, at += slots * stride;
  room.coefficients = at, at += slots * ofCoefficients;
  room.writing = at, at += (ofToken + columnsOfTile) * stride;
  room.reading = at, at += columnsOfTile * stride;
  room.states = at, at += t.buffers * slots * stride;
  room.backbones = at, at += t.buffers * t.tokens * s.m * stride;
  room.sums = reinterpret_cast<float *>(at);
  return room;
}

/** Eqs. 11–14 for all rows: alpha = S ∘ tanh(norm(h)·W/√db) + static, zeros where there is no slot, or the set has no column. */
VWN_DEVICE void evaluateRows(const ConnectionShape &s, const CoefficientSet &set, const TileRoom &room, int rows, int tokens,
                             int columns, const bf16 *state, const bf16 *weights) {
  const Share share = shareOf(rows, warpOfBlock(), warpsOfBlock());
  const int tiles = columns / 16;
  float reciprocals[2];
  for (int first = share.part; first < tiles; first += tilesAtOnce * share.parts) {
    Sum sums[tilesAtOnce][2] = {};
    RowNormsByTiles norms;
    multiplyTiles(
        static_cast<int>(s.db), share, first, tiles,
        [&](int k) {
          const Left a = leftAt(state + share.row * room.stride + k, room.stride);
          norms.add(a);
          return a;
        },
        [&](int tile, int k, Right(&b)[2]) { rightsOfRows(weights + tile * 16 * room.stride + k, room.stride, b); }, sums);
    norms.reciprocals(s, share.row, endOfSlots(s, room.ofToken, share.row, tokens), reciprocals);
    eachPairOfTiles(sums, share, first, tiles, [&](int row, int column, const FloatPair &product) {
      const TileColumn ofSet = tileColumnOf(s, set, room.ofToken, column);
      const int slot = row & (room.ofToken - 1);
      uint32_t alpha = 0;
      if (slot < s.n && ofSet.left > 0) {
        const PairOfColumns of = pairOfColumns(s, ofSet, slot);
        const float r = row - share.row < 8 ? reciprocals[0] : reciprocals[1];
        alpha = packed(shortTanh(product.lower * r) * of.scale.lower + of.offset.lower,
                       shortTanh(product.upper * r) * of.scale.upper + of.offset.upper);
      }
      pairAt(room.coefficients + row * room.ofCoefficients + column) = alpha;
    });
  }
  __syncthreads();
}

/** next = Âᵀ·state + B·out, rounded as it is stored. */
VWN_DEVICE void writeRows(const ConnectionShape &s, const TileRoom &room, int rows, const bf16 *state, const bf16 *backbone) {
  const Share share = shareOf(rows, warpOfBlock(), warpsOfBlock());
  const int ofToken = room.ofToken, m = static_cast<int>(s.m), tiles = static_cast<int>(s.db) / 16;
  const int token = tokenOf(share.row, ofToken), slot = share.row - token * ofToken;
  const bf16 *own = room.coefficients + token * ofToken * room.ofCoefficients;
  for (int first = share.part; first < tiles; first += tilesAtOnce * share.parts) {
    Sum sums[tilesAtOnce][2] = {};
    multiplyTiles(
        ofToken, share, first, tiles,
        [&](int k) { return leftAtTransposed(own + k * room.ofCoefficients + slot, room.ofCoefficients); },
        [&](int tile, int k, Right(&b)[2]) { rightsAt(state + (token * ofToken + k) * room.stride + tile * 16, room.stride, b); },
        sums);
    multiplyTiles(
        16, share, first, tiles, [&](int) { return leftAt(own + slot * room.ofCoefficients + ofToken, room.ofCoefficients); },
        [&](int tile, int, Right(&b)[2]) {
          rightsAtSomeRows(backbone + token * m * room.stride + tile * 16, room.stride, m, room.zeros, b);
        },
        sums);
    eachPairOfTiles(sums, share, first, tiles, [&](int row, int column, const FloatPair &pair) {
      pairAt(room.next + row * room.stride + column) = packed(pair.lower, pair.upper);
    });
  }
  __syncthreads();
}

/** x = A°ᵀ·state, [tokens, m, db] in float32. */
VWN_DEVICE void readRows(const ConnectionShape &s, const TileRoom &room, int tokens, const bf16 *state, float *x) {
  const int m = static_cast<int>(s.m), stride = strideOfRead(s.db);
  const TokenShare share = shareOfTokens(tokens, warpOfBlock(), warpsOfBlock());
  float *own = x + share.token * m * stride;
  gatherRows(s, share, room.ofToken, room.coefficients, room.ofCoefficients, state, room.stride, [&](int c, int d, const FloatPair &pair) {
    if (c < m) putPair(own + c * stride + d, pair);
  });
  __syncthreads();
}

template <class T>
VWN_DEVICE void connectionTiles(const ConnectionShape &s, const ConnectionTiles &t, const ConnectionParameters &writing,
                                const ConnectionParameters &reading, const T *h, const T *out, T *hNext, T *x) {
  VWN_SHARED(bf16, shared);
  const TileRoom room = divide(s, t, shared);
  const CoefficientSet write = writeSet(s, writing), read = readSet(s, reading);
  const int ofToken = room.ofToken, m = static_cast<int>(s.m), slots = t.tokens * ofToken;
  const int64_t ofState = s.n * s.db, ofBackbone = s.m * s.db;
  const int64_t tiles = (s.tokens + t.tokens - 1) / t.tokens;
  const auto countOf = [&](int64_t tile) {
    const int64_t left = s.tokens - tile * t.tokens;
    return left < t.tokens ? static_cast<int>(left) : t.tokens;
  };
  const auto stateOf = [&](int turn) { return room.states + turn % t.buffers * slots * room.stride; };
  const auto backboneOf = [&](int turn) { return room.backbones + turn % t.buffers * t.tokens * m * room.stride; };
  const StateMoves moves(s, ofToken, room.stride, static_cast<int>(blockDim.x));
  const auto ask = [&](int64_t tile, int turn) {
    const int64_t first = tile * t.tokens;
    if (tile < tiles) {
      moves.copy(h + first * ofState, t.tokens, countOf(tile), stateOf(turn));
      if (s.write) copyRows(moves.chunks, out + first * ofBackbone, t.tokens * m, countOf(tile) * m, room.stride, backboneOf(turn));
    }
    commitCopies();
  };
  if (threadIdx.x < ofChunk) room.zeros[threadIdx.x] = toBf16(0.0f);
  if (s.write) loadWeights(s, write, ofToken + columnsOfTile, room.stride, room.writing);
  if (s.read) loadWeights(s, read, columnsOfTile, room.stride, room.reading);
  if (t.buffers > 1) ask(blockIdx.x, 0);
  int turn = 0;
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x, turn++) {
    if (t.buffers > 1) {
      ask(tile + gridDim.x, turn + 1);
      awaitCopies<1>();
    } else {
      ask(tile, turn);
      awaitCopies<0>();
    }
    __syncthreads();
    const int64_t first = tile * t.tokens;
    const int count = countOf(tile);
    const bf16 *state = stateOf(turn);
    if (s.write) {
      evaluateRows(s, write, room, slots, count, ofToken + columnsOfTile, state, room.writing);
      writeRows(s, room, slots, state, backboneOf(turn));
      moves.store(room.next, count, hNext + first * ofState);
      state = room.next;
    }
    if (s.read) {
      // The state that is not needed any more, or not yet, has room for what is read.
      float *what = reinterpret_cast<float *>(s.write ? stateOf(turn) : room.next);
      evaluateRows(s, read, room, slots, count, columnsOfTile, state, room.reading);
      readRows(s, room, t.tokens, state, what);
      storeRead(s, reading, room.sums, count, what, x + first * ofBackbone);
    }
    __syncthreads();
  }
}
// Two blocks at once: one computes while the other waits on memory.
VWN_ENTRY_IN_BLOCKS(connectionTiles, bf16, ::vwn::cuda::bf16, 2,
                    (ConnectionShape shape, ConnectionTiles tiles, ConnectionParameters writing, ConnectionParameters reading,
                     const real *h, const real *out, real *hNext, real *x),
                    (shape, tiles, writing, reading, h, out, hNext, x))

}  // namespace
}  // namespace cuda
}  // namespace vwn
