/** How a connection step by warpgroups divides its shared memory: on compute capability 9.0, of 64 slots. */
#pragma once
#include "connection-tile-shape.h"
#include "warpgroup-shape.h"

namespace vwn {
namespace cuda {

constexpr int hopperSlots = groupRows, hopperBackbone = 8;
/** Rows of W: those of Â, of B and of A°, and zeros; of a backbone: its own, and zeros. Products take rows by sixteens. */
constexpr int hopperWeightRows = hopperSlots + 3 * hopperBackbone, hopperBackboneRows = 2 * hopperBackbone;
/** Bytes of coefficients, a slab of Â's, and one of B's and A°'s, and of the transpose of products' gradients. */
constexpr int64_t hopperCoefficientBytes = 2 * hopperSlots * slabColumns * 2,
                  hopperProductBytes = (hopperSlots + 2 * hopperBackbone) * hopperSlots * 2;

inline bool takesWarpgroups(const ConnectionShape &s) {
  return s.dynamic && s.n == hopperSlots && s.m <= hopperBackbone && s.m % 2 == 0 && s.db % slabColumns == 0;
}

/** Slabs of a state, and those that one of the two warpgroups has. */
inline int64_t slabsOfHopper(const ConnectionShape &s) { return s.db / slabColumns; }
inline int64_t slabsOfHopperGroup(const ConnectionShape &s) { return (slabsOfHopper(s) + 1) / 2; }
/** So many stay in a group's registers: forward sums for the next state, backward the gradients of W. */
constexpr int64_t mostSlabsOfHopperGroup = 4, mostGradSlabsOfHopperGroup = 2;

/** Bytes of the forward pass: W, coefficients, a backbone, `ring` slabs of states, sums, and what one group has of the read's products. */
inline int64_t bytesOfHopper(const ConnectionShape &s, int64_t ring) {
  const int64_t slab = 2 * hopperSlots * slabColumns;
  return 2 * s.db * (hopperWeightRows + hopperBackboneRows) + hopperCoefficientBytes + ring * slab +
         4 * (roomOfSums + hopperSlots * (hopperBackbone + 1));
}
/** Slabs of a group for which the forward kernel is compiled that makes a step. */
inline int64_t slabsOfHopperKernel(const ConnectionShape &s) { return slabsOfHopperGroup(s) > 2 ? 4 : slabsOfHopperGroup(s); }
/** So many slabs a group leave registers for a second block of the forward pass on a multiprocessor. */
constexpr int64_t slabsOfHopperPairs = 2;
/**
 * Slabs of a token and, as far as there is room, of the next one, which arrive meanwhile: with room for a second block, which computes
 * while the first one waits, or else for one; 0 where a token has none.
 */
inline int64_t ringOfHopper(const ConnectionShape &s, int64_t sharedBytes) {
  const int64_t slabs = slabsOfHopper(s);
  if (slabsOfHopperGroup(s) > mostSlabsOfHopperGroup) return 0;
  for (const int64_t blocks : {slabsOfHopperGroup(s) <= slabsOfHopperPairs ? 2 : 1, 1})
    for (int64_t ring = 2 * slabs; ring >= slabs + blocks - 1; ring--)
      if (blocksAtOnce(bytesOfHopper(s, ring), sharedBytes) >= blocks) return ring;
  return 0;
}
inline int64_t blocksOfHopper(const ConnectionShape &s, int64_t ring, int64_t sharedBytes) {
  const int64_t blocks = blocksAtOnce(bytesOfHopper(s, ring), sharedBytes);
  return slabsOfHopperGroup(s) <= slabsOfHopperPairs && blocks > 1 ? 2 : 1;
}

/** Where two blocks share tokens in the backward pass, the first one's columns, which are no fewer than the other's. */
VWN_ON_BOTH int64_t columnsOfFirst(const ConnectionShape &s) { return (s.db / slabColumns + 1) / 2 * slabColumns; }
/**
 * Bytes of what two such blocks show each other, from the place of the gradients of products on: of the first group's threads 42
 * floats and of the second's 34, products with W, gradients of coefficients and sums of squares.
 */
constexpr int hopperShownByFirst = 42, hopperShownBySecond = 34;
constexpr int64_t hopperShownBytes = 4 * (hopperShownByFirst + hopperShownBySecond) * groupThreads;

/**
 * Of the backward pass with so many columns to a block: W, two states, dNext, coefficients, their gradients, two backbones, the norm's
 * gradient, numbers of slots, sums for B's and A°'s static parts and scales.
 */
inline int64_t bytesOfHopperGrad(int64_t columns, int64_t productBytes) {
  const int64_t rows = hopperWeightRows + 3 * hopperSlots + 2 * hopperBackboneRows;
  const int64_t floats = hopperBackbone * columns + (3 + 4 * hopperBackbone) * hopperSlots + roomOfSums;
  return 2 * columns * rows + hopperCoefficientBytes + productBytes + 4 * floats;
}

/** How the backward pass by warpgroups divides a token: among so many blocks, none where it does not; slabs of a group. */
struct HopperGradShare {
  int64_t blocks, slabsOfGroup, bytes;
};
inline HopperGradShare hopperGradShare(const ConnectionShape &s, int64_t sharedBytes, bool hasClusters) {
  const int64_t alone = slabsOfHopperGroup(s), half = (columnsOfFirst(s) / slabColumns + 1) / 2;
  const HopperGradShare whole{1, alone, bytesOfHopperGrad(s.db, hopperProductBytes)};
  const HopperGradShare shared{2, half, bytesOfHopperGrad(columnsOfFirst(s), hopperShownBytes)};
  if (alone <= mostGradSlabsOfHopperGroup && whole.bytes <= sharedBytes) return whole;
  if (hasClusters && half <= mostGradSlabsOfHopperGroup && shared.bytes <= sharedBytes) return shared;
  return {0, 0, 0};
}

}  // namespace cuda
}  // namespace vwn
