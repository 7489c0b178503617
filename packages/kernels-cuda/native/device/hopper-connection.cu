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
  bf16 *weights, *next, *coefficients, *others, *states, *backbones;
  float *sums;
};

VWN_DEVICE HopperRoom divide(int db, bf16 *at) {
  HopperRoom room{};
  room.weights = at, at += hopperWeightRows * db;
  room.next = at, at += hopperSlots * db;
  room.coefficients = at, at += ofStateSlab;
  room.others = at, at += ofStateSlab;
  room.states = at, at += 2 * hopperSlots * db;
  room.backbones = at, at += 2 * hopperBackboneRows * db;
  room.sums = reinterpret_cast<float *>(at);
  return room;
}

/** Coefficients of the write: a group has half of Â's columns, the first one B's too; what the other makes behind its own is dropped. */
VWN_DEVICE void evaluateWrite(const ConnectionShape &s, const ConnectionParameters &writing, const HopperRoom &room, int group,
                              const bf16 *state) {
  Sum products[tilesOfGroup] = {};
  RowNorms norms;
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

/** next = Âᵀ·state + B·out, rounded as it is stored; every second slab is a group's. */
VWN_DEVICE void writeSlots(int slabs, const HopperRoom &room, int group, const bf16 *state, const bf16 *backbone) {
  for (int slab = group; slab < slabs; slab += 2) {
    Sum sums[8];
    beginProducts();
#pragma unroll
    for (int k = 0; k < hopperSlots; k += 16)
      multiplyGroup(sums, factorOfColumns(room.coefficients + k * slabColumns, 0),
                    factorOfColumns(state + slab * ofStateSlab + k * slabColumns, 0), k > 0);
    multiplyGroup(sums, factorOfRows(room.others), factorOfColumns(backbone + slab * ofBackboneSlab, 0), true);
    commitProducts();
    awaitProducts<0>();
    holdSums(sums);
#pragma unroll
    for (int j = 0; j < 8; j++) {
        eachPairOf(sums[j], slotsOfWarp(), j * 8, [&](int slot, int column, const FloatPair &pair) {
        pairAt(room.next + slab * ofStateSlab + placeInSlab(slot, column)) = packed(pair.lower, pair.upper);
      });
    }
  }
}

/** Coefficients of the read, by one group. */
VWN_DEVICE void evaluateRead(const ConnectionShape &s, const ConnectionParameters &reading, const HopperRoom &room,
                             const bf16 *state) {
  Sum products[1] = {};
  RowNorms norms;
  eachFactorOfState(state, static_cast<int>(s.db) / slabColumns, [&](int slab, int k, const Left &a) {
    norms.add(a);
    multiplyGroup(products, a, weightsAt(room.weights, slab, firstOfRead, k), true);
  });
  holdSums(products);
  float reciprocals[2];
  norms.reciprocals(s, slotsOfWarp(), hopperSlots, reciprocals);
  putCoefficients(products[0], reciprocals, tileOfRead(s, reading), columnOfRead, room.others);
}

VWN_DEVICE void hopperConnection(const ConnectionShape &s, const ConnectionParameters &writing, const ConnectionParameters &reading,
                                 const bf16 *h, const bf16 *out, bf16 *hNext, bf16 *x) {
  VWN_SHARED_SLABS(shared);
  const int m = static_cast<int>(s.m), db = static_cast<int>(s.db), slabs = db / slabColumns, group = groupOfBlock();
  const int64_t ofState = s.n * s.db, ofBackbone = s.m * s.db;
  const HopperRoom room = divide(db, shared);
  const auto stateOf = [&](int turn) { return room.states + turn % 2 * hopperSlots * db; };
  const auto backboneOf = [&](int turn) { return room.backbones + turn % 2 * hopperBackboneRows * db; };
  const auto ask = [&](int64_t token, int turn) {
    if (token < s.tokens) {
      copySlabs(db, h + token * ofState, hopperSlots, hopperSlots, stateOf(turn));
      if (s.write) copySlabs(db, out + token * ofBackbone, m, hopperBackboneRows, backboneOf(turn));
    }
    commitCopies();
  };
  loadWeightSlabs(s, writing, reading, room.weights);
  // Rows of backbones and columns of coefficients that are not there.
  clearSlabs(2 * ofStateSlab, room.coefficients);
  clearSlabs(2 * hopperBackboneRows * db, room.backbones);
  __syncthreads();
  ask(blockIdx.x, 0);
  int turn = 0;
  for (int64_t token = blockIdx.x; token < s.tokens; token += gridDim.x, turn++) {
    ask(token + gridDim.x, turn + 1);
    awaitCopies<1>();
    syncForProducts();
    const bf16 *state = stateOf(turn);
    if (s.write) {
      evaluateWrite(s, writing, room, group, state);
      syncForProducts();
      writeSlots(slabs, room, group, state, backboneOf(turn));
      syncForProducts();
      state = room.next;
    }
    if (s.read && group == 0) evaluateRead(s, reading, room, state);
    // The other group stores meanwhile.
    if (s.write && (group == 1 || !s.read)) {
      const int threads = s.read ? groupThreads : 2 * groupThreads;
      storeSlabs(db, room.next, hopperSlots, hopperSlots, static_cast<int>(threadIdx.x) % threads, threads, hNext + token * ofState);
    }
    __syncthreads();
    if (s.read) {
      // The state that is not needed any more, or not yet, has room for what is read.
      float *what = reinterpret_cast<float *>(s.write ? stateOf(turn) : room.next);
      gatherSlabs(db, room.others, columnOfRead, state, [&](int c, int d, const FloatPair &pair) {
        if (c < m) putPair(what + c * strideOfRead(s) + d, pair);
      });
      __syncthreads();
      storeRead(s, reading, room.sums, 1, what, x + token * ofBackbone);
    }
    __syncthreads();
  }
}
#endif
// Two blocks at once, where shared memory takes them: one computes while the other waits.
namespace entry_hopperConnection {
extern "C" __global__ void __launch_bounds__(256, 2)
    hopperConnection_bf16(ConnectionShape shape, ConnectionParameters writing, ConnectionParameters reading, const bf16 *h,
                          const bf16 *out, bf16 *hNext, bf16 *x)
        VWN_BODY_BY_WARPGROUPS(hopperConnection(shape, writing, reading, h, out, hNext, x))
VWN_REGISTER(hopperConnection_bf16)
}  // namespace entry_hopperConnection

}  // namespace
}  // namespace cuda
}  // namespace vwn
