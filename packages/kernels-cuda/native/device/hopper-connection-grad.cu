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
template <class Columns>
VWN_DEVICE void readProducts(const ConnectionShape &s, const ConnectionParameters &reading, const HopperGradRoom &room,
                             const HopperStage &stage, const Columns &of, int group, const Sum &products,
                             const float (&reciprocals)[2]) {
  Sum ups[1] = {};
  if (group == 0) byBackbone(stage.state, stage.backbone, stage.slabs, ups);
  of.addOthers(placeOfReadGradient, [&](const auto &body) {
    if (group == 0) eachOfSum(ups[0], body);
  });
  if (group != 0) return;
  SlotDots dots;
  tileGradient<false>(tileOfRead(s, reading), products, ups[0], reciprocals, SumsInMemory{room.ofRead}, dots, {nullptr, room.products, 0, 0});
  tileGradient<false>({nullptr, nullptr, 0, 0}, products, ups[0], reciprocals, SumsInMemory{room.ofRead}, dots, {nullptr, room.products, 0, 8});
  dots.put(room.dots, 0);
  SlotDots{}.put(room.dots, 1);
}

/**
 * What was read, once more, through the sublayer's norm: dx becomes dRead. With g = dx·weight and r = 1/rms: dRead = r·g −
 * read·mean(g·read)·r³. Each thread adds to numbers of its own of the weight's gradient.
 */
template <int slabsOfGroup, class Columns>
VWN_DEVICE void normStage(const ConnectionShape &s, const ConnectionParameters &reading, const HopperGradRoom &room,
                          const HopperStage &stage, const Columns &of) {
  const int stride = strideOfRead(of.count), others = static_cast<int>(s.db) - of.count;
  const float *weights = reading.sublayerNorm + of.first;
  gatherSlabs<slabsOfGroup>(of.count, room.others, columnOfRead, stage.ofState(), [&](int i, const Sum(&sums)[2]) {
    eachGathered(s.m, of.count, i, sums, [&](int c, int d, const FloatPair &pair) { putPair(room.read() + c * stride + d, pair); });
  });
  __syncthreads();
  FloatPair own = {0, 0};
  eachPairOfBackbone(s.m, of.count, [&](int c, int d, int i) {
    const FloatPair weight = pairAt(weights + i + c * others), x = pairAt(room.read() + c * stride + d);
    const uint32_t up = pairAt(stage.inBackbone(c, d));
    own.lower += x.lower * x.lower + x.upper * x.upper;
    own.upper += lowerOf(up) * weight.lower * x.lower + upperOf(up) * weight.upper * x.upper;
  });
  const FloatPair all = of.totals(placeOfNorm, own, room.sums);
  const float r = reciprocalOfRead(s, all.lower), shift = all.upper * r * r * r / static_cast<float>(s.m * s.db);
  eachPairOfBackbone(s.m, of.count, [&](int c, int d, int i) {
    const FloatPair weight = pairAt(weights + i + c * others), x = pairAt(room.read() + c * stride + d);
    uint32_t &at = pairAt(stage.inBackbone(c, d));
    const float lower = lowerOf(at) * r, upper = upperOf(at) * r;
    addTo(room.ofNorm + i, lower * x.lower, upper * x.upper);
    at = packed(lower * weight.lower - x.lower * shift, upper * weight.upper - x.upper * shift);
  });
  __syncthreads();
}

/** Through the read: to dNext, whose copy arrives meanwhile. */
template <int slabsOfGroup, class Columns>
VWN_DEVICE void readStage(const ConnectionShape &s, const ConnectionParameters &reading, const HopperGradRoom &room,
                          const HopperStage &stage, const Columns &of, int group, HopperSums<slabsOfGroup> &sums) {
  Sum products[1] = {};
  RowNormsByTiles norms;
  float reciprocals[2] = {0, 0};
  if (group == 0) {
    eachFactorOfState(stage.ofState(), stage.slabs, [&](int slab, int k, const Left &a) {
      norms.add(a);
      multiplyGroup(products, a, weightsAt(room.weights, slab, firstOfRead, k), true);
    });
    holdSums(products);
  }
  float squares[2] = {norms.ownSquares(0), norms.ownSquares(1)};
  of.awaitRoom();
  of.addOthers(placeOfRead, [&](const auto &body) {
    if (group == 0) eachOfSum(products[0], body), body(squares[0]), body(squares[1]);
  });
  if (group == 0) {
    reciprocalsOfRows(s, squares, slotsOfWarp(), hopperSlots, reciprocals);
    putReciprocals(reciprocals, room.reciprocal);
    putCoefficients(products[0], reciprocals, tileOfRead(s, reading), columnOfRead, room.others);
  }
  __syncthreads();
  if (s.normed) normStage<slabsOfGroup>(s, reading, room, stage, of);
  syncForProducts();
  readProducts(s, reading, room, stage, of, group, products[0], reciprocals);
  awaitCopies<1>();
  syncForProducts();
  eachSlabOfGroup<slabsOfGroup>(stage.slabs, group, [&](int i, int slab) {
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
template <int slabsOfGroup, class Columns>
VWN_DEVICE void writeProducts(const ConnectionShape &s, const ConnectionParameters &writing, const HopperGradRoom &room,
                              const HopperStage &stage, const Columns &of, int group, HopperSums<slabsOfGroup> &sums) {
  Sum products[tilesOfGroup] = {}, ups[tilesOfGroup - 1] = {}, upOfBeta[1] = {};
  RowNormsByTiles norms;
  eachFactorOfState(stage.ofState(), stage.slabs, [&](int slab, int k, const Left &a) {
    norms.add(a);
    multiplyGroup(products, a, weightsAt(room.weights, slab, group * rowsOfGroup, k), true);
    multiplyGroup(ups, a, factorOfRows(room.dNext + slab * ofStateSlab + group * halfOfSlots * slabColumns + k), true);
    // Both groups, though one needs it: apart from the others it would have a latency of its own.
    multiplyGroup(upOfBeta, factorOfRows(room.dNext + slab * ofStateSlab + k), factorOfRows(stage.backbone + slab * ofBackboneSlab + k), true);
  });
  holdSums(products);
  holdSums(ups);
  holdSums(upOfBeta);
  float squares[2] = {norms.ownSquares(0), norms.ownSquares(1)};
  of.awaitRoom();
  of.addOthers(group * hopperShownByFirst, [&](const auto &body) {
#pragma unroll
    for (int j = 0; j < tilesOfGroup - 1; j++) eachOfSum(products[j], body), eachOfSum(ups[j], body);
    body(squares[0]), body(squares[1]);
    if (group == 0) eachOfSum(products[tilesOfGroup - 1], body), eachOfSum(upOfBeta[0], body);
  });
  of.endRoom();
  float reciprocals[2];
  reciprocalsOfRows(s, squares, slotsOfWarp(), hopperSlots, reciprocals);
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
template <int slabsOfGroup, class Columns>
VWN_DEVICE void writeStage(const ConnectionShape &s, const ConnectionParameters &writing, const HopperGradRoom &room,
                           const HopperStage &stage, const Columns &of, int group, HopperSums<slabsOfGroup> &sums) {
  const int slabs = stage.slabs;
  writeProducts(s, writing, room, stage, of, group, sums);
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
  gatherSlabs<slabsOfGroup>(of.count, room.others, 0, {room.dNext, 0, slabs}, [&](int i, const Sum(&dout)[2]) {
    eachGathered(s.m, of.count, i, dout, [&](int j, int d, const FloatPair &pair) {
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

/** What a block has added up goes to the device's memory; of two with a token's columns both have the same of static parts and scales. */
template <int slabsOfGroup, class Columns>
VWN_DEVICE void end(const ConnectionShape &s, const ConnectionGradTensors &io, const HopperGradRoom &room, const Columns &of, int group,
                    const HopperSums<slabsOfGroup> &sums) {
  const int m = static_cast<int>(s.m), n = static_cast<int>(s.n), db = static_cast<int>(s.db), columns = n + m;
  float *write = sumsOfPart(s, io, of.part(), true), *read = sumsOfPart(s, io, of.part(), false), *ofNorm = write + sumsOfStep(s).norm;
  if (s.normed)
    eachPairOfBackbone(m, of.count, [&](int c, int d, int i) { putPair(ofNorm + c * db + of.first + d, pairAt(room.ofNorm + i)); });
#pragma unroll
  for (int j = 0; s.write && of.first == 0 && j < tilesOfGroup - 1; j++) {
    putTile(sums.offsets[j], group * halfOfSlots + j * 8, columns, write);
    putTile(sums.scales[j], group * halfOfSlots + j * 8, columns, write + n * columns);
  }
  if (s.write && of.first == 0) putTileOfMemory(room.ofBeta, n, m, columns, write);
  if (s.read && of.first == 0) putTileOfMemory(room.ofRead, 0, m, m, read);
  float *weights = weightsOfPart(s, io, of.part(), true) + of.first, *readWeights = weightsOfPart(s, io, of.part(), false) + of.first;
  eachSlabOfGroup<slabsOfGroup>(of.slabs(), group, [&](int i, int slab) {
#pragma unroll
    for (int j = 0; s.write && j < tilesOfGroup * 2 - 1; j++) {
      const bool isBeta = j == tilesOfGroup - 1;
      const int first = isBeta ? n : j < tilesOfGroup ? j * 8 : (j - 1) * 8;
      putWeightTile(sums.weights[i][j], slab, first, isBeta ? m : 8, db, weights);
    }
    if (s.read) putWeightTile(sums.readWeights[i][0], slab, 0, m, db, readWeights);
  });
}

/** A block's way through its tokens, the read before the write, which take turns with the buffers. */
template <class Columns>
struct HopperTurns {
  const ConnectionShape &s;
  const ConnectionGradTensors &io;
  const HopperGradRoom &room;
  const Columns &of;

  VWN_DEVICE bool hasBoth() const { return s.read && s.write; }
  VWN_DEVICE int64_t token(int turn) const { return of.part() + static_cast<int64_t>(turn >> (hasBoth() ? 1 : 0)) * of.parts(); }
  VWN_DEVICE bool isFirst(int turn) const { return !hasBoth() || turn % 2 == 0; }
  VWN_DEVICE bool isLast(int turn) const { return !hasBoth() || turn % 2 == 1; }
  VWN_DEVICE bool isRead(int turn) const { return s.read && (!s.write || isFirst(turn)); }
  VWN_DEVICE HopperStage stage(int turn) const {
    const int place = turn % 2;
    return {room.states + place * hopperSlots * of.count, room.backbones + place * hopperBackboneRows * of.count, of.slabs()};
  }

  /** Asks for a turn's state and backbone. */
  VWN_DEVICE void ask(int turn) const {
    const int db = static_cast<int>(s.db), m = static_cast<int>(s.m);
    if (token(turn) < s.tokens) {
      const bf16 *h = isRead(turn) && s.write ? io.hNext : io.h, *x = isRead(turn) ? io.dx : io.out;
      const HopperStage to = stage(turn);
      copySlabs<hopperSlots>(db, h + token(turn) * s.n * s.db + of.first, hopperSlots, 0, to.slabs,
                             [&](int slab) { return to.state + slab * ofStateSlab; });
      copySlabs<hopperBackbone>(db, x + token(turn) * s.m * s.db + of.first, m, 0, to.slabs,
                                [&](int slab) { return to.backbone + slab * ofBackboneSlab; });
    }
    commitCopies();
  }
  /** Asks for the gradient of the next state, zeros where there is none, as the second group of a turn's copies. */
  VWN_DEVICE void askForNext(int turn) const {
    if (isFirst(turn) && io.dhNext)
      copySlabs<hopperSlots>(static_cast<int>(s.db), io.dhNext + token(turn) * s.n * s.db + of.first, hopperSlots, 0, of.slabs(),
                             [&](int slab) { return room.dNext + slab * ofStateSlab; });
    else if (isFirst(turn)) clearSlabs(hopperSlots * of.count, room.dNext);
    commitCopies();
  }
  VWN_DEVICE void store(int turn) const {
    const int db = static_cast<int>(s.db);
    const HopperStage from = stage(turn);
    if (!isRead(turn))
      storeSlabs<hopperBackbone>(db, static_cast<int>(s.m), from.slabs, [&](int slab) { return from.backbone + slab * ofBackboneSlab; },
                                 io.dout + token(turn) * s.m * s.db + of.first);
    const bf16 *state = s.write ? from.state : room.dNext;
    if (isLast(turn))
      storeSlabs<hopperSlots>(db, hopperSlots, from.slabs, [&](int slab) { return state + slab * ofStateSlab; },
                              io.dh + token(turn) * s.n * s.db + of.first);
    __syncthreads();
  }
};

/** W, and zeros where sums begin and where nothing is ever written. */
template <class Columns>
VWN_DEVICE void begin(const ConnectionShape &s, const ConnectionParameters &writing, const ConnectionParameters &reading,
                      const ConnectionGradTensors &io, const HopperGradRoom &room, const Columns &of) {
  float *sums = sumsOfPart(s, io, of.part(), true);
  for (int64_t i = threadIdx.x; of.first == 0 && i < sumsOfStep(s).count; i += blockDim.x) sums[i] = 0;
  for (int i = static_cast<int>(threadIdx.x); i < hopperBackbone * of.count; i += static_cast<int>(blockDim.x)) room.ofNorm[i] = 0;
  for (int i = static_cast<int>(threadIdx.x); i < 4 * ofTileSums; i += static_cast<int>(blockDim.x)) room.ofBeta[i] = 0;
  loadWeightSlabs(s, writing, reading, of.first, of.count, room.weights);
  clearSlabs(2 * ofStateSlab, room.coefficients);
  clearSlabs(2 * hopperBackboneRows * of.count, room.backbones);
  __syncthreads();
}

template <int slabsOfGroup, bool isShared>
VWN_DEVICE void hopperConnectionGrad(const ConnectionShape &s, const ConnectionParameters &writing, const ConnectionParameters &reading,
                                     const ConnectionGradTensors &io) {
  VWN_SHARED_SLABS(shared);
  const int group = groupOfBlock();
  HopperColumns<isShared> of = columnsOfBlock<isShared>(s);
  const HopperGradRoom room = divideGrad(static_cast<int>(isShared ? columnsOfFirst(s) : s.db), isShared ? hopperShownBytes : hopperProductBytes, shared);
  of.room = reinterpret_cast<float *>(room.products);
  const HopperTurns<HopperColumns<isShared>> turns{s, io, room, of};
  HopperSums<slabsOfGroup> sums;
  begin(s, writing, reading, io, room, of);
  of.leaveRoom();
  turns.ask(0);
  for (int turn = 0; turns.token(turn) < s.tokens; turn++) {
    // Of three groups of copies the first is this turn's, the second dNext, the third the next turn's.
    turns.askForNext(turn);
    turns.ask(turn + 1);
    if (turns.isRead(turn)) {
      awaitCopies<2>();
      syncForProducts();
      readStage(s, reading, room, turns.stage(turn), of, group, sums);
    } else {
      awaitCopies<1>();
      syncForProducts();
      writeStage(s, writing, room, turns.stage(turn), of, group, sums);
    }
    of.leaveRoom();
    turns.store(turn);
  }
  end(s, io, room, of, group, sums);
  of.awaitRoom();
}
#endif

#define VWN_HOPPER_CONNECTION_GRAD(name, slabsOfGroup, isShared, clusters, registers)                                           \
  namespace entry_##name {                                                                                                   \
  extern "C" __global__ void __launch_bounds__(256, 1) clusters name(ConnectionShape shape, ConnectionParameters writing,       \
                                                                  ConnectionParameters reading, ConnectionGradTensors tensors) \
      VWN_BODY_BY_WARPGROUPS(hopperConnectionGrad<slabsOfGroup, isShared>(shape, writing, reading, tensors))                 \
  registers(name)                                                                                                            \
  }
VWN_HOPPER_CONNECTION_GRAD(hopperConnectionGrad_of1, 1, false, , VWN_REGISTER)
VWN_HOPPER_CONNECTION_GRAD(hopperConnectionGrad_of2, 2, false, , VWN_REGISTER)
VWN_HOPPER_CONNECTION_GRAD(hopperConnectionGradInClusters_of2, 2, true, VWN_IN_CLUSTERS, VWN_REGISTER_IN_CLUSTERS)

}  // namespace
}  // namespace cuda
}  // namespace vwn
