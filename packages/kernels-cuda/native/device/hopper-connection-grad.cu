/**
 * The backward pass of a connection step of 64 slots by warpgroups; connection-tiles-grad.cu has the other shapes, and says what
 * is computed and rounded.
 */
#include "hopper-connection-grad.h"

namespace vwn {
namespace cuda {
namespace {

#if defined(VWN_HAS_WARPGROUPS)
/** The read's gradients of coefficients, by one group: behind them zeros, up to the 16 columns that products take. */
VWN_DEVICE void readProducts(const ConnectionShape &s, const ConnectionParameters &reading, const HopperGradRoom &room,
                             const HopperStage &stage, const Sum &products, const float (&reciprocals)[2]) {
  Sum ups[1] = {};
  byBackbone(stage.state, stage.backbone, static_cast<int>(s.db) / slabColumns, ups);
  SlotDots dots;
  tileGradient<false>(tileOfRead(s, reading), products, ups[0], reciprocals, SumsInMemory{room.ofRead}, dots, {nullptr, room.products, 0, 0});
  tileGradient<false>({nullptr, nullptr, 0, 0}, products, ups[0], reciprocals, SumsInMemory{room.ofRead}, dots, {nullptr, room.products, 0, 8});
  dots.put(room.dots, 0);
  SlotDots{}.put(room.dots, 1);
}

/** What was read, once more, through the sublayer's norm: dx becomes dRead. */
template <int slabsOfGroup>
VWN_DEVICE void normStage(const ConnectionShape &s, const ConnectionParameters &reading, const HopperGradRoom &room,
                          const HopperStage &stage) {
  const int stride = strideOfRead(s);
  gatherSlabs<slabsOfGroup>(static_cast<int>(s.db), room.others, columnOfRead, stage.ofState(), [&](int i, const Sum(&sums)[2]) {
    eachGathered(s, i, sums, [&](int c, int d, const FloatPair &pair) { putPair(room.read() + c * stride + d, pair); });
  });
  __syncthreads();
  sublayerNormGradient(s, reading.sublayerNorm, room.read(), room.ofNorm, room.sums,
                       [&](int c, int d) -> uint32_t & { return pairAt(stage.inBackbone(c, d)); });
}

/** Through the read: to dNext, whose copy arrives meanwhile. */
template <int slabsOfGroup>
VWN_DEVICE void readStage(const ConnectionShape &s, const ConnectionParameters &reading, const HopperGradRoom &room,
                          const HopperStage &stage, int group, HopperSums<slabsOfGroup> &sums) {
  const int slabs = static_cast<int>(s.db) / slabColumns;
  Sum products[1] = {};
  float reciprocals[2] = {0, 0};
  if (group == 0) {
    RowNorms norms;
    eachFactorOfState(stage.ofState(), slabs, [&](int slab, int k, const Left &a) {
      norms.add(a);
      multiplyGroup(products, a, weightsAt(room.weights, slab, firstOfRead, k), true);
    });
    holdSums(products);
    norms.reciprocals(s, slotsOfWarp(), hopperSlots, reciprocals);
    putReciprocals(reciprocals, room.reciprocal);
    putCoefficients(products[0], reciprocals, tileOfRead(s, reading), columnOfRead, room.others);
  }
  __syncthreads();
  if (s.normed) normStage<slabsOfGroup>(s, reading, room, stage);
  syncForProducts();
  if (group == 0) readProducts(s, reading, room, stage, products[0], reciprocals);
  awaitCopies<1>();
  syncForProducts();
  eachSlabOfGroup<slabsOfGroup>(slabs, group, [&](int i, int slab) {
    Sum gradient[8];
    beginProducts();
#pragma unroll
    for (int k = 0; k < hopperSlots; k += 16)
      multiplyGroup(sums.readWeights[i], stateRows(stage.state, slab, k), productsOfSlots(room.products, k), true);
    multiplyGroup(gradient, factorOfRows(room.others + columnOfRead), factorOfColumns(stage.backbone + slab * ofBackboneSlab, 0), false);
    multiplyGroup(gradient, productColumns(room.products, 0), weightRowsAt(room.weights, slab, firstOfRead), true);
    commitProducts();
    awaitProducts<0>();
    holdSums(sums.readWeights[i]);
    holdSums(gradient);
    putStateGradient(s, room, gradient, stage.state + slab * ofStateSlab, true, room.dNext + slab * ofStateSlab);
  });
  syncForProducts();
}

/** The write's coefficients once more, and their gradients; a group has half of Â's columns, the first one B's too. */
template <int slabsOfGroup>
VWN_DEVICE void writeProducts(const ConnectionShape &s, const ConnectionParameters &writing, const HopperGradRoom &room,
                              const HopperStage &stage, int group, HopperSums<slabsOfGroup> &sums) {
  const int slabs = static_cast<int>(s.db) / slabColumns;
  Sum products[tilesOfGroup] = {}, ups[tilesOfGroup - 1] = {}, upOfBeta[1] = {};
  RowNorms norms;
  eachFactorOfState(stage.ofState(), slabs, [&](int slab, int k, const Left &a) {
    norms.add(a);
    multiplyGroup(products, a, weightsAt(room.weights, slab, group * rowsOfGroup, k), true);
    multiplyGroup(ups, a, factorOfRows(room.dNext + slab * ofStateSlab + group * halfOfSlots * slabColumns + k), true);
    // Both groups, though one needs it: apart from the others it would have a latency of its own.
    multiplyGroup(upOfBeta, factorOfRows(room.dNext + slab * ofStateSlab + k), factorOfRows(stage.backbone + slab * ofBackboneSlab + k), true);
  });
  holdSums(products);
  holdSums(ups);
  holdSums(upOfBeta);
  float reciprocals[2];
  norms.reciprocals(s, slotsOfWarp(), hopperSlots, reciprocals);
  if (group == 0) putReciprocals(reciprocals, room.reciprocal);
  SlotDots dots;
#pragma unroll
  for (int j = 0; j < tilesOfGroup - 1; j++)
    tileGradient<true>(tileOfWrite(s, writing, group, j), products[j], ups[j], reciprocals, SumsInRegisters{sums.offsets[j], sums.scales[j]},
                 dots, {room.coefficients, room.products, group * halfOfSlots + j * 8, group * rowsOfGroup + j * 8});
  ColumnTile beta = tileOfBeta(s, writing);
  // Behind the second group's columns of P there are zeros.
  if (group > 0) beta.count = 0;
  tileGradient<true>(beta, products[tilesOfGroup - 1], upOfBeta[0], reciprocals, SumsInMemory{room.ofBeta}, dots,
               {room.others, room.products, 0, group * rowsOfGroup + halfOfSlots});
  dots.put(room.dots, group);
}

/** Through the write: dout and dh in the places of out and h. */
template <int slabsOfGroup>
VWN_DEVICE void writeStage(const ConnectionShape &s, const ConnectionParameters &writing, const HopperGradRoom &room,
                           const HopperStage &stage, int group, HopperSums<slabsOfGroup> &sums) {
  const int db = static_cast<int>(s.db), slabs = db / slabColumns;
  writeProducts(s, writing, room, stage, group, sums);
  syncForProducts();
  eachSlabOfGroup<slabsOfGroup>(slabs, group, [&](int i, int slab) {
    beginProducts();
#pragma unroll
    for (int k = 0; k < hopperSlots; k += 16)
      multiplyGroup(sums.weights[i], stateRows(stage.state, slab, k), productsOfSlots(room.products, k), true);
    commitProducts();
    awaitProducts<0>();
    holdSums(sums.weights[i]);
  });
  gatherSlabs<slabsOfGroup>(db, room.others, 0, {room.dNext, 0, slabs}, [&](int i, const Sum(&dout)[2]) {
    eachGathered(s, i, dout, [&](int j, int d, const FloatPair &pair) {
      pairAt(stage.inBackbone(j, d)) = packed(pair.lower, pair.upper);
    });
  });
  // A warp is done with products when its own rows of them are, of which others may yet read the state.
  __syncthreads();
  eachSlabOfGroup<slabsOfGroup>(slabs, group, [&](int, int slab) {
    Sum gradient[8];
    beginProducts();
#pragma unroll
    for (int k = 0; k < hopperSlots; k += 16)
      multiplyGroup(gradient, factorOfRows(room.coefficients + k), stateRows(room.dNext, slab, k), k > 0);
#pragma unroll
    for (int k = 0; k < 2 * rowsOfGroup; k += 16)
      multiplyGroup(gradient, productColumns(room.products, k), weightRowsAt(room.weights, slab, k), true);
    commitProducts();
    awaitProducts<0>();
    holdSums(gradient);
    putStateGradient(s, room, gradient, stage.state + slab * ofStateSlab, false, stage.state + slab * ofStateSlab);
  });
  __syncthreads();
}

/** What a block has added up goes to the device's memory. */
template <int slabsOfGroup>
VWN_DEVICE void end(const ConnectionShape &s, const ConnectionGradTensors &io, const HopperGradRoom &room, int group,
                    const HopperSums<slabsOfGroup> &sums) {
  const int m = static_cast<int>(s.m), n = static_cast<int>(s.n), db = static_cast<int>(s.db), columns = n + m;
  float *write = sumsOfBlock(s, io, true), *read = sumsOfBlock(s, io, false), *ofNorm = write + sumsOfStep(s).norm;
  for (int i = static_cast<int>(threadIdx.x); s.normed && i < m * db; i += static_cast<int>(blockDim.x)) ofNorm[i] = room.ofNorm[i];
#pragma unroll
  for (int j = 0; s.write && j < tilesOfGroup - 1; j++) {
    putTile(sums.offsets[j], group * halfOfSlots + j * 8, columns, write);
    putTile(sums.scales[j], group * halfOfSlots + j * 8, columns, write + n * columns);
  }
  if (s.write) putTileOfMemory(room.ofBeta, n, m, columns, write);
  if (s.read) putTileOfMemory(room.ofRead, 0, m, m, read);
  eachSlabOfGroup<slabsOfGroup>(db / slabColumns, group, [&](int i, int slab) {
#pragma unroll
    for (int j = 0; s.write && j < tilesOfGroup * 2 - 1; j++) {
      const bool isBeta = j == tilesOfGroup - 1;
      const int first = isBeta ? n : j < tilesOfGroup ? j * 8 : (j - 1) * 8;
      putWeightTile(sums.weights[i][j], slab, first, isBeta ? m : 8, db, weightsOfBlock(s, io, true));
    }
    if (s.read) putWeightTile(sums.readWeights[i][0], slab, 0, m, db, weightsOfBlock(s, io, false));
  });
}

/** A block's way through its tokens, the read before the write, which take turns with the buffers. */
struct HopperTurns {
  const ConnectionShape &s;
  const ConnectionGradTensors &io;
  const HopperGradRoom &room;

  VWN_DEVICE int halves() const { return s.read + s.write; }
  VWN_DEVICE int64_t token(int turn) const { return anew(static_cast<int>(blockIdx.x)) + static_cast<int64_t>(turn / halves()) * gridDim.x; }
  VWN_DEVICE bool isFirst(int turn) const { return turn % halves() == 0; }
  VWN_DEVICE bool isLast(int turn) const { return (turn + 1) % halves() == 0; }
  VWN_DEVICE bool isRead(int turn) const { return s.read && (!s.write || isFirst(turn)); }
  VWN_DEVICE HopperStage stage(int turn) const {
    const int db = static_cast<int>(s.db), place = turn % 2;
    return {room.states + place * hopperSlots * db, room.backbones + place * hopperBackboneRows * db, db / slabColumns};
  }

  /** Asks for a turn's state and backbone. */
  VWN_DEVICE void ask(int turn) const {
    const int db = static_cast<int>(s.db), m = static_cast<int>(s.m);
    if (token(turn) < s.tokens) {
      const bf16 *h = isRead(turn) && s.write ? io.hNext : io.h, *x = isRead(turn) ? io.dx : io.out;
      const HopperStage to = stage(turn);
      copySlabs<hopperSlots>(db, h + token(turn) * s.n * s.db, hopperSlots, 0, to.slabs,
                             [&](int slab) { return to.state + slab * ofStateSlab; });
      copySlabs<hopperBackbone>(db, x + token(turn) * s.m * s.db, m, 0, to.slabs,
                                [&](int slab) { return to.backbone + slab * ofBackboneSlab; });
    }
    commitCopies();
  }
  /** Asks for the gradient of the next state, zeros where there is none, as the second group of a turn's copies. */
  VWN_DEVICE void askForNext(int turn) const {
    const int db = static_cast<int>(s.db);
    if (isFirst(turn) && io.dhNext)
      copySlabs<hopperSlots>(db, io.dhNext + token(turn) * s.n * s.db, hopperSlots, 0, db / slabColumns,
                             [&](int slab) { return room.dNext + slab * ofStateSlab; });
    else if (isFirst(turn)) clearSlabs(hopperSlots * db, room.dNext);
    commitCopies();
  }
  VWN_DEVICE void store(int turn) const {
    const int db = static_cast<int>(s.db);
    const HopperStage from = stage(turn);
    if (!isRead(turn))
      storeSlabs<hopperBackbone>(db, static_cast<int>(s.m), [&](int slab) { return from.backbone + slab * ofBackboneSlab; },
                                 io.dout + token(turn) * s.m * s.db);
    const bf16 *state = s.write ? from.state : room.dNext;
    if (isLast(turn))
      storeSlabs<hopperSlots>(db, hopperSlots, [&](int slab) { return state + slab * ofStateSlab; }, io.dh + token(turn) * s.n * s.db);
    __syncthreads();
  }
};

/** W, and zeros where sums begin and where nothing is ever written. */
VWN_DEVICE void begin(const ConnectionShape &s, const ConnectionParameters &writing, const ConnectionParameters &reading,
                      const ConnectionGradTensors &io, const HopperGradRoom &room) {
  const int db = static_cast<int>(s.db);
  float *sums = sumsOfBlock(s, io, true);
  for (int64_t i = threadIdx.x; i < sumsOfStep(s).count; i += blockDim.x) sums[i] = 0;
  for (int i = static_cast<int>(threadIdx.x); i < hopperBackbone * db; i += static_cast<int>(blockDim.x)) room.ofNorm[i] = 0;
  for (int i = static_cast<int>(threadIdx.x); i < 4 * ofTileSums; i += static_cast<int>(blockDim.x)) room.ofBeta[i] = 0;
  loadWeightSlabs(s, writing, reading, room.weights);
  clearSlabs(2 * ofStateSlab, room.coefficients);
  clearSlabs(2 * hopperBackboneRows * db, room.backbones);
  __syncthreads();
}

template <int slabsOfGroup>
VWN_DEVICE void hopperConnectionGrad(const ConnectionShape &s, const ConnectionParameters &writing, const ConnectionParameters &reading,
                                     const ConnectionGradTensors &io) {
  VWN_SHARED_SLABS(shared);
  const int group = groupOfBlock();
  const HopperGradRoom room = divideGrad(static_cast<int>(s.db), shared);
  const HopperTurns turns{s, io, room};
  HopperSums<slabsOfGroup> sums;
  begin(s, writing, reading, io, room);
  turns.ask(0);
  for (int turn = 0; turns.token(turn) < s.tokens; turn++) {
    // Of three groups of copies the first is this turn's, the second dNext, the third the next turn's.
    turns.askForNext(turn);
    turns.ask(turn + 1);
    if (turns.isRead(turn)) {
      awaitCopies<2>();
      syncForProducts();
      readStage(s, reading, room, turns.stage(turn), group, sums);
    } else {
      awaitCopies<1>();
      syncForProducts();
      writeStage(s, writing, room, turns.stage(turn), group, sums);
    }
    turns.store(turn);
  }
  end(s, io, room, group, sums);
}
#endif

#define VWN_HOPPER_CONNECTION_GRAD(slabsOfGroup)                                                                             \
  namespace entry_hopperConnectionGrad_##slabsOfGroup {                                                                      \
  extern "C" __global__ void __launch_bounds__(256, 1)                                                                       \
      hopperConnectionGrad_of##slabsOfGroup(ConnectionShape shape, ConnectionParameters writing,                             \
                                            ConnectionParameters reading, ConnectionGradTensors tensors)                     \
          VWN_BODY_BY_WARPGROUPS(hopperConnectionGrad<slabsOfGroup>(shape, writing, reading, tensors))                       \
  VWN_REGISTER(hopperConnectionGrad_of##slabsOfGroup)                                                                        \
  }
VWN_HOPPER_CONNECTION_GRAD(1)
VWN_HOPPER_CONNECTION_GRAD(2)

}  // namespace
}  // namespace cuda
}  // namespace vwn
