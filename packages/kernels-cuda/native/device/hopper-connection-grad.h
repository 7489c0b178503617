/**
 * What both halves of the backward pass of a connection step by warpgroups are made of; connection-tiles-grad.cu says what they
 * compute. Of the gradients of products, P, the transpose is kept, rows in the order of W's. A group makes every second slab of
 * what has db columns, and half of the coefficients' columns; its sums for parameters stay in registers from token to token. Of wide
 * states a block has half of the columns (hopper-columns.h).
 */
#pragma once
#include "connection-tiles-grad.h"
#include "hopper-columns.h"

#if defined(VWN_HAS_WARPGROUPS)
namespace vwn {
namespace cuda {

/** Sums of one kind for a tile of eight columns. */
constexpr int ofTileSums = hopperSlots * 8;

/** A block's shared memory. */
struct HopperGradRoom {
  bf16 *weights, *dNext, *coefficients, *others, *products, *states, *backbones;
  float *ofNorm, *reciprocal, *dots, *ofBeta, *ofRead, *sums;

  /** What the sublayer's norm reads anew is needed no more when `products` are written. */
  VWN_DEVICE float *read() const { return reinterpret_cast<float *>(products); }
};

/** For so many columns; `products` is as large as it takes. */
VWN_DEVICE HopperGradRoom divideGrad(int columns, int64_t productBytes, bf16 *at) {
  HopperGradRoom room{};
  room.weights = at, at += hopperWeightRows * columns;
  room.dNext = at, at += hopperSlots * columns;
  room.coefficients = at, at += ofStateSlab;
  room.others = at, at += ofStateSlab;
  room.products = at, at += productBytes / 2;
  room.states = at, at += 2 * hopperSlots * columns;
  room.backbones = at, at += 2 * hopperBackboneRows * columns;
  room.ofNorm = reinterpret_cast<float *>(at);
  room.reciprocal = room.ofNorm + hopperBackbone * columns;
  room.dots = room.reciprocal + hopperSlots;
  room.ofBeta = room.dots + 2 * hopperSlots;
  room.ofRead = room.ofBeta + 2 * ofTileSums;
  room.sums = room.ofRead + 2 * ofTileSums;
  return room;
}

/** A group's sums over tokens: for static parts and scales of its half of Â's columns, and for W of both sets. */
template <int slabsOfGroup>
struct HopperSums {
  Sum offsets[tilesOfGroup - 1] = {}, scales[tilesOfGroup - 1] = {};
  Sum weights[slabsOfGroup][tilesOfGroup * 2 - 1] = {}, readWeights[slabsOfGroup][1] = {};
};

/** Half a step: its state and backbone, of as many slabs. */
struct HopperStage {
  bf16 *state, *backbone;
  int slabs;

  VWN_DEVICE StateSlabs ofState() const { return {state, 0, slabs}; }
  VWN_DEVICE bf16 *inBackbone(int row, int d) const { return backbone + placeInSlabs(hopperBackboneRows, row, d); }
};

/** Calls body(i, slab) for the slabs that a group has. */
template <int slabsOfGroup, class Body>
VWN_DEVICE void eachSlabOfGroup(int slabs, int group, const Body &body) {
#pragma unroll
  for (int i = 0; i < slabsOfGroup; i++)
    if (group + 2 * i < slabs) body(i, group + 2 * i);
}

/** 16 rows of slabs as a factor: of a state, or of W, from `row` on. */
VWN_DEVICE ColumnsFactor stateRows(const bf16 *state, int slab, int row) {
  return factorOfColumns(state + slab * ofStateSlab + row * slabColumns, 0);
}
VWN_DEVICE ColumnsFactor weightRowsAt(const bf16 *weights, int slab, int row) {
  return factorOfColumns(weights + slab * ofWeightSlab + row * slabColumns, 0);
}
/** Of Pᵀ, a slab: 16 columns of P by all slots; its rows from the first on by 16 slots, as the transpose of a right factor. */
VWN_DEVICE ColumnsFactor productColumns(const bf16 *products, int column) { return factorOfColumns(products + column * slabColumns, 0); }
VWN_DEVICE RowsFactor productsOfSlots(const bf16 *products, int slot) { return factorOfRows(products + slot); }

/** sums += state·backboneᵀ over db, the backbone in slabs of 16 rows: the gradient of coefficients. */
VWN_DEVICE void byBackbone(const bf16 *state, const bf16 *backbone, int slabs, Sum (&sums)[1]) {
#pragma unroll 1
  for (int slab = 0; slab < slabs; slab++) {
    beginProducts();
#pragma unroll
    for (int k = 0; k < slabColumns; k += 16)
      multiplyGroup(sums, factorOfRows(state + slab * ofStateSlab + k), factorOfRows(backbone + slab * ofBackboneSlab + k), true);
    commitProducts();
  }
  awaitProducts<0>();
  holdSums(sums);
}

/** What a thread adds up of P·(H·W) for its slots g and g + 8; each group has a part of a slot's columns. */
struct SlotDots {
  float values[2] = {0, 0};

  VWN_DEVICE void put(float *dots, int group) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const float sum = sumOverLanes(values[i]);
      if (laneOfWarp() % 4 == 0) dots[(slotsOfWarp() + laneOfWarp() / 4 + i * 8) * 2 + group] = sum;
    }
  }
};
VWN_DEVICE void putReciprocals(const float (&reciprocals)[2], float *to) {
  if (laneOfWarp() % 4 == 0)
    for (int i = 0; i < 2; i++) to[slotsOfWarp() + laneOfWarp() / 4 + i * 8] = reciprocals[i];
}

/** Where sums for a tile's static parts and scales are: in registers, or in shared memory, a row of eight for each slot. */
struct SumsInRegisters {
  Sum &offsets, &scales;
  VWN_DEVICE void add(int v, int, int, const FloatPair &up, const FloatPair &byTanh) const {
    offsets.values[v] += up.lower, offsets.values[v + 1] += up.upper;
    scales.values[v] += byTanh.lower, scales.values[v + 1] += byTanh.upper;
  }
};
struct SumsInMemory {
  float *offsets;
  VWN_DEVICE void add(int, int slot, int column, const FloatPair &up, const FloatPair &byTanh) const {
    float *at = offsets + slot * 8 + column;
    addTo(at, up.lower, up.upper);
    addTo(at + ofTileSums, byTanh.lower, byTanh.upper);
  }
};

/** Where a tile's eight coefficients are to go, if they do, and its eight columns of P, which are rows there. */
struct TilePlaces {
  bf16 *coefficients, *products;
  int coefficient, product;
};

/**
 * A tile of eight columns through its activation: its coefficients, sums for its parameters, and P, made with the gradients `up`. A
 * thread's numbers stand one, or eight, rows or columns from each other: from one place to the next it is a sum or an exclusive or.
 */
template <bool keepsCoefficients, class Sums>
VWN_DEVICE void tileGradient(const ColumnTile &tile, const Sum &products, const Sum &up, const float (&reciprocals)[2],
                             const Sums &sums, SlotDots &dots, const TilePlaces &to) {
  const int lane = anew(laneOfWarp()), first = slotsOfWarp() + lane / 4, column = lane % 4 * 2;
  bf16 *const coefficients = to.coefficients + placeInSlab(first, to.coefficient + column);
  const int place = placeInSlab(to.product + column, first);
#pragma unroll
  for (int v = 0; v < 4; v += 2) {
    const int slot = first + v * 4;
    const float r = reciprocals[v / 2];
    uint32_t product = 0;
    if (tile.has(column)) {
      const FloatPair t = tanhOf({products.values[v], products.values[v + 1]}, r);
      const PairOfColumns of = tile.at(slot, column);
      if constexpr (keepsCoefficients) pairAt(coefficients + v * 4 * slabColumns) = alphaOf(of, t);
      sums.add(v, slot, column, {up.values[v], up.values[v + 1]}, {up.values[v] * t.lower, up.values[v + 1] * t.upper});
      product = packed(up.values[v] * of.scale.lower * (1.0f - t.lower * t.lower) * r,
                       up.values[v + 1] * of.scale.upper * (1.0f - t.upper * t.upper) * r);
      dots.values[v / 2] += lowerOf(product) * products.values[v] + upperOf(product) * products.values[v + 1];
    }
    to.products[eightOn(place, v / 2)] = bf16{static_cast<uint16_t>(product & 0xffffu)};
    to.products[eightOn(place, 1 - v / 2) + slabColumns] = bf16{static_cast<uint16_t>(product >> 16)};
  }
}

/** to = products − state·shift, + what was there where `adds`, of a slab; a lane has numbers of its own, so `to` may be the state. */
VWN_DEVICE void putStateGradient(const ConnectionShape &s, const HopperGradRoom &room, const Sum (&products)[8], const bf16 *state,
                                 bool adds, bf16 *to) {
  const float part = 1.0f / static_cast<float>(s.db);
  float shifts[2];
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const int slot = slotsOfWarp() + laneOfWarp() / 4 + i * 8;
    const FloatPair dots = pairAt(room.dots + slot * 2);
    shifts[i] = (dots.lower + dots.upper) * room.reciprocal[slot] * room.reciprocal[slot] * part;
  }
  const int first = placeInSlab(slotsOfWarp() + laneOfWarp() / 4, laneOfWarp() % 4 * 2);
#pragma unroll
  for (int j = 0; j < 8; j++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int at = eightOn(first, j) + half * 8 * slabColumns;
      const float *pair = products[j].values + 2 * half, shift = shifts[half];
      const uint32_t own = pairAt(const_cast<bf16 *>(state) + at), before = adds ? pairAt(to + at) : 0;
      pairAt(to + at) = packed(pair[0] - lowerOf(own) * shift + lowerOf(before), pair[1] - upperOf(own) * shift + upperOf(before));
    }
}

/** A thread's numbers of a tile of eight columns, of which the first is `first`, to rows of `columns`. */
VWN_DEVICE void putTile(const Sum &sum, int first, int columns, float *to) {
  eachPairOf(sum, slotsOfWarp(), 0, [&](int slot, int column, const FloatPair &pair) {
    to[slot * columns + first + column] = pair.lower;
    to[slot * columns + first + column + 1] = pair.upper;
  });
}
/** Both sums of a tile of which `count` columns are there. */
VWN_DEVICE void putTileOfMemory(const float *sums, int first, int count, int columns, float *to) {
  for (int at = static_cast<int>(threadIdx.x); at < 2 * hopperSlots * count; at += static_cast<int>(blockDim.x)) {
    const int slot = at / count % hopperSlots, column = at % count, isScale = at / (hopperSlots * count);
    to[(isScale * hopperSlots + slot) * columns + first + column] = sums[isScale * ofTileSums + slot * 8 + column];
  }
}
/** Of eight rows of W, of which the first is `first` and `count` are there, in a slab: their gradients, transposed, to [·, db]. */
VWN_DEVICE void putWeightTile(const Sum &sum, int slab, int first, int count, int db, float *to) {
  eachPairOf(sum, slotsOfWarp(), 0, [&](int d, int column, const FloatPair &pair) {
    if (column >= count) return;
    float *at = to + (first + column) * db + slab * slabColumns + d;
    at[0] = pair.lower, at[db] = pair.upper;
  });
}

}  // namespace cuda
}  // namespace vwn
#endif
