/**
 * The registers of AMX: eight tiles of 16 rows of 16 words. One instruction adds to one of sums the product of a tile of A,
 * [16 rows][16 units], with one of B, [16 units][16 columns]: the units of pairs.h, in the order in which they lie everywhere here.
 */
#pragma once
#include "../amx.h"
#include "simd.h"

namespace vwn {
namespace VWN_ISA {

#if defined(__AMX_BF16__)
constexpr bool hasAmx = true;

constexpr int64_t amxRows = 16, amxUnits = 16, amxTile = amxRows * amxUnits;

/**
 * GCC does not know that loads of tiles, and of all but the first word of their shapes, read memory: what was written must be
 * there, and stay, before they come.
 */
VWN_INLINE void finishWrites() { asm volatile("" ::: "memory"); }

/** Shapes of the registers: sums 0 to 3, two by two; A in 4 and 5, as many rows; B in 6 and 7. */
struct alignas(64) AmxShapes {
  uint8_t palette = 1, startRow = 0, reserved[14] = {};
  uint16_t bytesOfRow[16] = {};
  uint8_t rows[16] = {};

  explicit AmxShapes(int64_t upper = amxRows, int64_t lower = amxRows) {
    for (int i = 0; i < 8; i++) {
      const bool isLower = i == 2 || i == 3 || i == 5, isB = i >= 6;
      bytesOfRow[i] = 64;
      rows[i] = static_cast<uint8_t>(isB ? amxUnits : isLower ? lower : upper);
    }
  }
  /** Of this thread's registers, whose content is lost. */
  void use() const {
    finishWrites();
    _tile_loadconfig(this);
  }
};

VWN_INLINE void storeAmxTile(const vf (&rows)[W], float *to) {
#pragma GCC unroll 16
  for (int i = 0; i < W; i++) store(to + i * W, rows[i]);
}

/** Registers in use make it dearer to switch between threads. */
inline void releaseAmx() { _tile_release(); }
#else
constexpr bool hasAmx = false;
#endif

/** Whether products of pairs are made by AMX. */
inline bool usesAmx() { return hasAmx && amxIsChosen; }

/** While it lives, this thread may make products by sumOfProducts of products.h: those of pairs may be AMX's. */
class AmxScope {
 public:
  AmxScope() {
#if defined(__AMX_BF16__)
    if (usesAmx()) AmxShapes().use();
#endif
  }
  ~AmxScope() {
#if defined(__AMX_BF16__)
    if (usesAmx()) releaseAmx();
#endif
  }
  AmxScope(const AmxScope &) = delete;
  AmxScope &operator=(const AmxScope &) = delete;
};

}  // namespace VWN_ISA
}  // namespace vwn
