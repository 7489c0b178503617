/** Which products tensor cores make, and by which of their kernels (device/half-tile.h). */
#pragma once
#include "../device/half-shape.h"
#include "../device/product.h"
#include "../runtime.h"

namespace vwn {
namespace VWN_ISA {

inline bool isOfHalves(bool halves, const Matrix &m) { return halves || m.type == VWN_BF16; }

/** Rows, columns and units of K are counted in 32 bits there. */
inline bool fitsHalfTiles(int64_t size) { return size <= INT32_MAX - largeHalfSide; }

inline int64_t tilesOf(int64_t size, int64_t side) { return (size + side - 1) / side; }

/** The large tile where `count` results [rows, columns] have enough of them for every multiprocessor. */
inline bool takeLargeTiles(int64_t rows, int64_t columns, int64_t count) {
  if (rows <= smallHalfSide || columns <= smallHalfSide) return false;
  return tilesOf(rows, largeHalfSide) * tilesOf(columns, largeHalfSide) * count >= multiprocessors();
}

/** body(HalfShape<side>{}, name) for the tiles that are to be taken, and their kernel of operands that lie so. */
template <class Body>
void withHalfTiles(const char *kernel, bool takesLarge, bool aTransposed, bool bTransposed, const Body &body) {
  const std::string layout = std::string(aTransposed ? "_t" : "_n") + (bTransposed ? "t" : "n");
  if (takesLarge) body(HalfShape<largeHalfSide>{}, kernel + ("_large" + layout));
  else body(HalfShape<smallHalfSide>{}, kernel + ("_small" + layout));
}

}  // namespace VWN_ISA
}  // namespace vwn
