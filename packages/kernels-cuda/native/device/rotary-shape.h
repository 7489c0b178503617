/** What a rotary embedding is given; a kernel's argument. */
#pragma once
#include <cstdint>

namespace vwn {
namespace cuda {

struct Rotation {
  int64_t sequences, length, heads, half;
  /** Position of the first row, and the logarithm of the base of wavelengths. */
  int64_t offset;
  double logTheta;
  /** −1 turns back. */
  float sign;
};

/** Pairs whose angles a block has at once in shared memory. */
constexpr int64_t pairsAtOnce = 512;

}  // namespace cuda
}  // namespace vwn
