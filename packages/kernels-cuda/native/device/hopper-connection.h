/**
 * What both passes of a connection step by warpgroups share. A block has a token at a time, whose 64 slots are the rows of a
 * product; its two warpgroups share out columns of products and slabs of states. Everything of bf16 in shared memory lies in slabs
 * (warpgroup-matrix.h): W, 40 rows for each group, for half of Â's columns and behind them for B's, or in the other half for A°'s;
 * coefficients, a slab of Â's, and another of B's from column 0 and of A°'s from column 16 on, with zeros between.
 */
#pragma once
#include "connection-tiles.h"
#include "hopper-connection-shape.h"
#include "warpgroup-matrix.h"

#if defined(VWN_HAS_WARPGROUPS)
namespace vwn {
namespace cuda {

constexpr int halfOfSlots = hopperSlots / 2, rowsOfGroup = halfOfSlots + hopperBackbone, columnOfRead = 2 * hopperBackbone;
/** Where the row of W stands for a column of the write, and for the first of the read. */
VWN_DEVICE int rowOfColumn(int c) { return c < halfOfSlots ? c : c < hopperSlots ? c + hopperBackbone : c - halfOfSlots; }
constexpr int firstOfRead = 2 * rowsOfGroup - hopperBackbone;
/** Elements of a slab of a state, of W and of a backbone. */
constexpr int ofStateSlab = hopperSlots * slabColumns, ofWeightSlab = hopperWeightRows * slabColumns,
              ofBackboneSlab = hopperBackboneRows * slabColumns;
/** Tiles of 8 of W's rows that a warpgroup has, of which the last one is for B or for A°. */
constexpr int tilesOfGroup = rowsOfGroup / 8;

/** A state's slabs: `count` places from the `first` on, then the first ones again. */
struct StateSlabs {
  bf16 *places;
  int first, count;

  VWN_DEVICE bf16 *at(int slab) const {
    const int place = first + slab;
    return places + (place < count ? place : place - count) * ofStateSlab;
  }
};

/**
 * Shares out the chunks of the first `present` of `rows` rows of db, from one slab's columns to another's, to the block's threads, eight
 * of which have a row of one slab: body(shared, at), where a chunk stands in slabAt(slab) and in the device's memory. (No thread divides
 * for a chunk: what it has differs by whole slabs and eights of rows.)
 */
template <int rows, class T, class SlabAt, class Body>
VWN_DEVICE void eachChunkOfSlabs(int db, T *all, int present, int firstSlab, int endSlab, const SlabAt &slabAt, const Body &body) {
  constexpr int chunks = slabColumns / ofChunk, inRows = 2 * groupThreads / chunks, atOnce = inRows < rows ? inRows : rows;
  const unsigned thread = static_cast<unsigned>(anew(static_cast<int>(threadIdx.x)));
  const unsigned c = thread % chunks, first = thread / chunks % atOnce;
  const int inSlab = placeInSlab(first, c * ofChunk), ownSlab = static_cast<int>(thread / chunks / atOnce);
  T *const own = all + static_cast<int>(first) * db + c * ofChunk;
#pragma unroll 1
  for (int slab = firstSlab + ownSlab; slab < endSlab; slab += inRows / atOnce) {
    const auto shared = slabAt(slab) + inSlab;
#pragma unroll
    for (int row = 0; row < rows; row += atOnce)
      if (static_cast<int>(first) + row < present) body(shared + row * slabColumns, own + slab * slabColumns + row * db);
  }
}
/** Asks for the first `present` of so many rows of db, from one slab's columns to another's, to slabAt(slab). */
template <int rows, class SlabAt>
VWN_DEVICE void copySlabs(int db, const bf16 *from, int present, int firstSlab, int endSlab, const SlabAt &slabAt) {
  eachChunkOfSlabs<rows>(db, from, present, firstSlab, endSlab, slabAt,
                         [](bf16 *shared, const bf16 *at) { copyAsync(shared, at, true); });
}
/** So many slabs of such rows from slabAt(slab) to the device's memory. */
template <int rows, class SlabAt>
VWN_DEVICE void storeSlabs(int db, int present, int slabs, const SlabAt &slabAt, bf16 *to) {
  eachChunkOfSlabs<rows>(db, to, present, 0, slabs, slabAt, [](const bf16 *shared, bf16 *at) { storeChunk(at, wholeAt<Chunk>(shared)); });
}
VWN_DEVICE void clearSlabs(int elements, bf16 *to) {
  for (int at = static_cast<int>(threadIdx.x) * ofChunk; at < elements; at += static_cast<int>(blockDim.x) * ofChunk)
    putWhole(to + at, Chunk{});
}

/** Of `count` columns of the state from `first` on, W of both sets; zeros where the step lacks one, and behind them. */
VWN_DEVICE void loadWeightSlabs(const ConnectionShape &s, const ConnectionParameters &writing, const ConnectionParameters &reading,
                                int first, int count, bf16 *to) {
  const auto put = [&](int row, int d, const Chunk &chunk) { putWhole(to + placeInSlabs(hopperWeightRows, row, d), chunk); };
  const auto load = [&](const CoefficientSet &set, int columns, const auto &rowOf) {
    eachChunkOfWeights(
        s, set.parameters.normWeight, columns, first, count,
        [&](int c) { return TileColumn{columnOf(s, set, c), static_cast<int>(set.columns) - c}; },
        [&](int c, int d, const Chunk &chunk) { put(rowOf(c), d, chunk); });
  };
  load({writing, s.write ? writeColumns(s) : 0, true}, hopperSlots + hopperBackbone, [](int c) { return rowOfColumn(c); });
  load({reading, s.read ? s.m : 0, false}, 2 * hopperBackbone, [](int c) { return firstOfRead + c; });
}

/** The first of this warp's 16 slots. */
VWN_DEVICE int slotsOfWarp() { return anew(warpOfBlock() % 4 * 16); }

/**
 * Calls body(slab, k, a) for a state's left factors, 16 columns of a slab at a time, with a beginProducts before each slab; the
 * products that body asks for are there when this returns.
 */
template <class Body>
VWN_DEVICE void eachFactorOfState(const StateSlabs &state, int slabs, const Body &body) {
#pragma unroll 1
  for (int slab = 0; slab < slabs; slab++) {
    Left a[4];
#pragma unroll
    for (int k = 0; k < 4; k++) a[k] = leftOfSlabs(state.at(slab), hopperSlots, slotsOfWarp(), k * 16);
    beginProducts();
#pragma unroll
    for (int k = 0; k < 4; k++) body(slab, k * 16, a[k]);
    commitProducts();
    awaitProducts<0>();
  }
}

/** Rows of W from `row` on, 16 of their columns. */
VWN_DEVICE RowsFactor weightsAt(const bf16 *weights, int slab, int row, int k) {
  return factorOfRows(weights + slab * ofWeightSlab + row * slabColumns + k);
}

/** Static parts and scales of eight columns, of which those from `count` on are not there: rows of `stride`. */
struct ColumnTile {
  const float *offset, *scale;
  int stride, count;

  VWN_DEVICE bool has(int column) const { return column < count; }
  VWN_DEVICE PairOfColumns at(int slot, int column) const {
    return {pairAt(offset + slot * stride + column), pairAt(scale + slot * stride + column)};
  }
};
/** Of the columns of Â from `first` on, of B, and of A°. */
VWN_DEVICE ColumnTile tileOfAlpha(const ConnectionShape &s, const ConnectionParameters &p, int first, int count) {
  return {p.staticAlpha + first, p.alphaScale + first, static_cast<int>(s.m + s.n), count};
}
VWN_DEVICE ColumnTile tileOfBeta(const ConnectionShape &s, const ConnectionParameters &p) {
  return {p.staticBeta, p.betaScale, static_cast<int>(s.m), static_cast<int>(s.m)};
}
/** The tile of the write's columns whose products a group has as its j-th. */
VWN_DEVICE ColumnTile tileOfWrite(const ConnectionShape &s, const ConnectionParameters &p, int group, int j) {
  if (j == tilesOfGroup - 1) return tileOfBeta(s, p);
  return tileOfAlpha(s, p, static_cast<int>(s.m) + group * halfOfSlots + j * 8, 8);
}
VWN_DEVICE ColumnTile tileOfRead(const ConnectionShape &s, const ConnectionParameters &p) {
  return tileOfAlpha(s, p, 0, static_cast<int>(s.m));
}

/** Coefficients of eight columns to a slab's from `first` on. */
VWN_DEVICE void putCoefficients(const Sum &products, const float (&reciprocals)[2], const ColumnTile &tile, int first, bf16 *slab) {
  const int lane = laneOfWarp(), column = lane % 4 * 2, slot = slotsOfWarp() + lane / 4, place = placeInSlab(slot, first + column);
#pragma unroll
  for (int half = 0; half < 2 && tile.has(column); half++) {
    const FloatPair t = tanhOf({products.values[2 * half], products.values[2 * half + 1]}, reciprocals[half]);
    pairAt(slab + place + half * 8 * slabColumns) = alphaOf(tile.at(slot + half * 8, column), t);
  }
}

/** Of what a warp gathers in its i-th tile of 16 columns, those of a backbone [m, columns] that a thread has: body(c, d, pair). */
template <class Body>
VWN_DEVICE void eachGathered(int64_t m, int columns, int i, const Sum (&sums)[2], const Body &body) {
  const int c = laneOfWarp() / 4;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int d = (warpOfBlock() + i * warpsOfBlock()) * 16 + half * 8 + laneOfWarp() % 4 * 2;
    if (c < m && d < columns) body(c, d, FloatPair{sums[half].values[0], sums[half].values[1]});
  }
}
/**
 * Calls body(i, sums) with Σ_s coefficients[s, column + c]·rows[s, d] for 16 columns c, rows of the sums, and the columns d of this
 * warp's i-th tile of 16 of db, of which it has `most` at most. Coefficients are a slab.
 */
template <int most, class Body>
VWN_DEVICE void gatherSlabs(int db, const bf16 *coefficients, int column, const StateSlabs &rows, const Body &body) {
  Left a[4];
  const int lane = anew(laneOfWarp());
#pragma unroll
  for (int k = 0; k < 4; k++) a[k] = leftOfSlabsTransposed(coefficients, hopperSlots, k * 16, column);
#pragma unroll
  for (int i = 0; i < most; i++) {
    const int d = (warpOfBlock() + i * warpsOfBlock()) * 16;
    if (d >= db) break;
    Sum sums[2] = {};
#pragma unroll
    for (int k = 0; k < 4; k++) {
      Right b[2];
      rightsOfSlabs(rows.at(d / slabColumns), hopperSlots, k * 16, d % slabColumns, lane, b);
      multiplyAdd(sums[0], a[k], b[0]);
      multiplyAdd(sums[1], a[k], b[1]);
    }
    body(i, sums);
  }
}

/** Other threads' writes of shared memory are there, for products too. */
VWN_DEVICE void syncForProducts() {
  fenceForProducts();
  __syncthreads();
}

}  // namespace cuda
}  // namespace vwn
#endif
