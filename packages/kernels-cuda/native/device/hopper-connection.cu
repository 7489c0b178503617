/**
 * The forward pass of a connection step of 64 slots by warpgroups; connection-tiles.cu has the other shapes, and says what is
 * computed and rounded.
 */
#include "hopper-connection.h"

namespace vwn {
namespace cuda {
namespace {

#if defined(VWN_HAS_WARPGROUPS)
/** A block's shared memory. */
struct HopperRoom {
  bf16 *weights, *coefficients, *others, *backbone, *states;
  float *sums, *products, *squares;
};

VWN_DEVICE HopperRoom divide(int db, int ring, bf16 *at) {
  HopperRoom room{};
  room.weights = at, at += hopperWeightRows * db;
  room.coefficients = at, at += ofStateSlab;
  room.others = at, at += ofStateSlab;
  room.backbone = at, at += hopperBackboneRows * db;
  room.states = at, at += ring * ofStateSlab;
  room.sums = reinterpret_cast<float *>(at);
  room.products = room.sums + roomOfSums;
  room.squares = room.products + hopperSlots * hopperBackbone;
  return room;
}

/** Coefficients of the write: a group has half of Â's columns, the first one B's too; what the other makes behind its own is dropped. */
VWN_DEVICE void evaluateWrite(const ConnectionShape &s, const ConnectionParameters &writing, const HopperRoom &room, int group,
                              const StateSlabs &state) {
  Sum products[tilesOfGroup] = {};
  RowNormsByTiles norms;
  eachFactorOfState(state, static_cast<int>(s.db) / slabColumns, [&](int slab, int k, const Left &a) {
    norms.add(a);
    multiplyGroup(products, a, weightsAt(room.weights, slab, group * rowsOfGroup, k), true);
  });
  holdSums(products);
  float reciprocals[2];
  norms.reciprocals(s, slotsOfWarp(), hopperSlots, reciprocals);
#pragma unroll
  for (int j = 0; j < tilesOfGroup - 1; j++)
    putCoefficients(products[j], reciprocals, tileOfWrite(s, writing, group, j), group * halfOfSlots + j * 8, room.coefficients);
  if (group == 0) putCoefficients(products[tilesOfGroup - 1], reciprocals, tileOfBeta(s, writing), 0, room.others);
}

/** What a group has of the next state, rounded: every second slab. */
template <int slabsOfGroup>
struct NextState {
  uint32_t pairs[slabsOfGroup][8][2];

  /** Âᵀ·state + B·out. */
  VWN_DEVICE void make(int slabs, const HopperRoom &room, int group, const StateSlabs &state) {
#pragma unroll
    for (int i = 0; i < slabsOfGroup; i++) {
      const int slab = group + 2 * i;
      if (slab >= slabs) break;
      Sum sums[8];
      beginProducts();
#pragma unroll
      for (int k = 0; k < hopperSlots; k += 16)
        multiplyGroup(sums, factorOfColumns(room.coefficients + k * slabColumns, 0),
                      factorOfColumns(state.at(slab) + k * slabColumns, 0), k > 0);
      multiplyGroup(sums, factorOfRows(room.others), factorOfColumns(room.backbone + slab * ofBackboneSlab, 0), true);
      commitProducts();
      awaitProducts<0>();
      holdSums(sums);
#pragma unroll
      for (int j = 0; j < 8; j++)
#pragma unroll
        for (int half = 0; half < 2; half++) pairs[i][j][half] = packed(sums[j].values[2 * half], sums[j].values[2 * half + 1]);
    }
  }
  /** Its own slabs' part of the products with the read's W, and of the slots' norms: pairs are a left factor's as they are. */
  VWN_DEVICE void multiply(int slabs, const HopperRoom &room, int group, Sum (&products)[1], RowNormsByTiles &norms) const {
#pragma unroll
    for (int i = 0; i < slabsOfGroup; i++) {
      const int slab = group + 2 * i;
      if (slab >= slabs) break;
      Left own[4];
#pragma unroll
      for (int k = 0; k < 4; k++) {
        own[k] = {{pairs[i][2 * k][0], pairs[i][2 * k][1], pairs[i][2 * k + 1][0], pairs[i][2 * k + 1][1]}};
        norms.add(own[k]);
      }
      beginProducts();
#pragma unroll
      for (int k = 0; k < 4; k++) multiplyGroup(products, own[k], weightsAt(room.weights, slab, firstOfRead, k * 16), true);
      commitProducts();
      awaitProducts<0>();
    }
    holdSums(products);
  }
  /** In the place of the state. */
  VWN_DEVICE void put(int slabs, int group, const StateSlabs &state) const {
    const int lane = anew(laneOfWarp()), first = placeInSlab(slotsOfWarp() + lane / 4, lane % 4 * 2);
#pragma unroll
    for (int i = 0; i < slabsOfGroup; i++) {
      const int slab = group + 2 * i;
      if (slab >= slabs) break;
#pragma unroll
      for (int j = 0; j < 8; j++)
#pragma unroll
        for (int half = 0; half < 2; half++)
          pairAt(state.at(slab) + eightOn(first, j) + half * 8 * slabColumns) = pairs[i][j][half];
    }
  }
};

/** Coefficients of the read, by one group. */
VWN_DEVICE void evaluateRead(const ConnectionShape &s, const ConnectionParameters &reading, const HopperRoom &room,
                             const StateSlabs &state) {
  Sum products[1] = {};
  RowNormsByTiles norms;
  eachFactorOfState(state, static_cast<int>(s.db) / slabColumns, [&](int slab, int k, const Left &a) {
    norms.add(a);
    multiplyGroup(products, a, weightsAt(room.weights, slab, firstOfRead, k), true);
  });
  holdSums(products);
  float reciprocals[2];
  norms.reciprocals(s, slotsOfWarp(), hopperSlots, reciprocals);
  putCoefficients(products[0], reciprocals, tileOfRead(s, reading), columnOfRead, room.others);
}

/** What both groups have made of the read's coefficients: the second one shows its part, the first adds it and goes on. */
VWN_DEVICE void showPart(const HopperRoom &room, const Sum &products, const RowNormsByTiles &norms) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int slot = slotsOfWarp() + laneOfWarp() / 4 + half * 8;
    putPair(room.products + slot * hopperBackbone + laneOfWarp() % 4 * 2, {products.values[2 * half], products.values[2 * half + 1]});
    const float squares = sumOverLanes(norms.ownSquares(half));
    if (laneOfWarp() % 4 == 0) room.squares[slot] = squares;
  }
}
VWN_DEVICE void addPart(const ConnectionShape &s, const ConnectionParameters &reading, const HopperRoom &room, Sum products,
                        const RowNormsByTiles &norms) {
  float reciprocals[2];
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int slot = slotsOfWarp() + laneOfWarp() / 4 + half * 8;
    const FloatPair other = pairAt(room.products + slot * hopperBackbone + laneOfWarp() % 4 * 2);
    products.values[2 * half] += other.lower, products.values[2 * half + 1] += other.upper;
    const float squares = sumOverLanes(norms.ownSquares(half)) + room.squares[slot];
    reciprocals[half] = rsqrtf(squares / static_cast<float>(s.db) + s.eps);
  }
  putCoefficients(products, reciprocals, tileOfRead(s, reading), columnOfRead, room.others);
}

/** x = A°ᵀ·state, through the sublayer's norm where there is one, to where it is stored. */
template <int slabsOfGroup>
VWN_DEVICE void readSlots(const ConnectionShape &s, const ConnectionParameters &reading, const HopperRoom &room, const StateSlabs &state,
                          bf16 *to) {
  const int db = static_cast<int>(s.db);
  Sum gathered[slabsOfGroup][2];
  float squares = 0;
  gatherSlabs<slabsOfGroup>(db, room.others, columnOfRead, state, [&](int i, const Sum(&sums)[2]) {
    gathered[i][0] = sums[0], gathered[i][1] = sums[1];
    eachGathered(s.m, db, i, sums, [&](int, int, const FloatPair &x) { squares += x.lower * x.lower + x.upper * x.upper; });
  });
  const float r = s.normed ? rsqrtf(blockSum(squares, room.sums) / static_cast<float>(s.m * s.db) + s.normEps) : 1.0f;
#pragma unroll
  for (int i = 0; i < slabsOfGroup; i++)
    eachGathered(s.m, db, i, gathered[i], [&](int c, int d, const FloatPair &x) {
      const FloatPair weight = s.normed ? pairAt(reading.sublayerNorm + c * db + d) : FloatPair{1.0f, 1.0f};
      pairAt(to + c * db + d) = packed(x.lower * r * weight.lower, x.upper * r * weight.upper);
    });
}

/** A block's copies: the next token's slabs as far as the ring has room beside this one's, the others when this one is done. */
struct HopperCopies {
  const ConnectionShape &s;
  const HopperRoom &room;
  const bf16 *h, *out;
  int ring;

  VWN_DEVICE int slabs() const { return static_cast<int>(s.db) / slabColumns; }
  VWN_DEVICE int early() const { return ring - slabs(); }
  VWN_DEVICE StateSlabs behind(const StateSlabs &state) const {
    const int first = state.first + slabs();
    return {state.places, first < ring ? first : first - ring, ring};
  }
  VWN_DEVICE void ask(int64_t token, const StateSlabs &to, int firstSlab, int endSlab) const {
    if (token < s.tokens)
      copySlabs<hopperSlots>(static_cast<int>(s.db), h + token * s.n * s.db, hopperSlots, firstSlab, endSlab,
                             [&](int slab) { return to.at(slab); });
    commitCopies();
  }
  VWN_DEVICE void askBackbone(int64_t token) const {
    if (token < s.tokens && s.write)
      copySlabs<hopperBackbone>(static_cast<int>(s.db), out + token * s.m * s.db, static_cast<int>(s.m), 0, slabs(),
                                [&](int slab) { return room.backbone + slab * ofBackboneSlab; });
    commitCopies();
  }
};

template <int slabsOfGroup>
VWN_DEVICE void hopperConnection(const ConnectionShape &s, int32_t ring, const ConnectionParameters &writing,
                                 const ConnectionParameters &reading, const bf16 *h, const bf16 *out, bf16 *hNext, bf16 *x) {
  VWN_SHARED_SLABS(shared);
  const int db = static_cast<int>(s.db), slabs = db / slabColumns, group = groupOfBlock();
  const HopperRoom room = divide(db, ring, shared);
  const HopperCopies copies{s, room, h, out, ring};
  loadWeightSlabs(s, writing, reading, 0, db, room.weights);
  // Rows of the backbone and columns of coefficients that are not there.
  clearSlabs(2 * ofStateSlab, room.coefficients);
  clearSlabs(hopperBackboneRows * db, room.backbone);
  __syncthreads();
  copies.askBackbone(blockIdx.x);
  StateSlabs state{room.states, 0, ring};
  copies.ask(blockIdx.x, state, 0, slabs);
  for (int64_t token = blockIdx.x; token < s.tokens; token += gridDim.x, state = copies.behind(state)) {
    const int64_t next = token + gridDim.x;
    copies.ask(next, copies.behind(state), 0, copies.early());
    awaitCopies<1>();
    syncForProducts();
    if (s.write) {
      NextState<slabsOfGroup> made;
      evaluateWrite(s, writing, room, group, state);
      syncForProducts();
      made.make(slabs, room, group, state);
      Sum products[1] = {};
      RowNormsByTiles norms;
      if (s.read) made.multiply(slabs, room, group, products, norms);
      if (s.read && group == 1) showPart(room, products[0], norms);
      // Not before all have waited is what products have read written.
      __syncthreads();
      copies.askBackbone(next);
      made.put(slabs, group, state);
      if (s.read && group == 0) addPart(s, reading, room, products[0], norms);
      __syncthreads();
      storeSlabs<hopperSlots>(db, hopperSlots, slabs, [&](int slab) { return state.at(slab); }, hNext + token * s.n * s.db);
    } else {
      if (group == 0) evaluateRead(s, reading, room, state);
      __syncthreads();
    }
    if (s.read) readSlots<slabsOfGroup>(s, reading, room, state, x + token * s.m * s.db);
    __syncthreads();
    copies.ask(next, copies.behind(state), copies.early(), slabs);
  }
}
#endif

/** `blocks` at once: where there are two, one computes while the other waits. */
#define VWN_HOPPER_CONNECTION(slabsOfGroup, blocks)                                                                       \
  namespace entry_hopperConnection_##slabsOfGroup {                                                                       \
  extern "C" __global__ void __launch_bounds__(256, blocks)                                                               \
      hopperConnection_of##slabsOfGroup(ConnectionShape shape, int32_t ring, ConnectionParameters writing,                \
                                        ConnectionParameters reading, const bf16 *h, const bf16 *out, bf16 *hNext,        \
                                        bf16 *x)                                                                          \
          VWN_BODY_BY_WARPGROUPS(hopperConnection<slabsOfGroup>(shape, ring, writing, reading, h, out, hNext, x))         \
  VWN_REGISTER(hopperConnection_of##slabsOfGroup)                                                                         \
  }
VWN_HOPPER_CONNECTION(1, 2)
VWN_HOPPER_CONNECTION(2, 2)
VWN_HOPPER_CONNECTION(4, 1)

}  // namespace
}  // namespace cuda
}  // namespace vwn
