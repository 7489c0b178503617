#include "matrix-instructions.h"

#include <bit>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace vwn {
namespace ptx {
namespace {

constexpr int depth = 16;

float ofBf16(uint32_t bits) { return std::bit_cast<float>(bits << 16); }
float half(uint32_t word, int which) { return ofBf16(word >> 16 * which & 0xffff); }

/** PTX ISA, "Matrix Fragments for mma.m16n8k16": lanes in groups of four, by row, and in each by columns in pairs. */
int groupOf(int lane) { return lane / 4; }
int memberOf(int lane) { return lane % 4; }

/** The left factor of one warp, 16 rows, from four registers, which hold rows g and g + 8, columns 2t and 2t + 8 and the next. */
template <size_t lanes>
void takeLeft(const uint32_t (&a)[4][lanes], int firstLane, float (*rows)[depth]) {
  for (int lane = 0; lane < 32; lane++)
    for (int i = 0; i < 4; i++)
      for (int which = 0; which < 2; which++)
        rows[groupOf(lane) + i % 2 * 8][2 * memberOf(lane) + i / 2 * 8 + which] = half(a[i][firstLane + lane], which);
}

struct Descriptor {
  uint64_t start, leading, stride;
  /** Chunks of 16 bytes that a swizzle's pattern has in a row: 1 (none), 2, 4 or 8. */
  uint64_t width;
};

/** PTX ISA, "Matrix Descriptor Format" of wgmma. */
Descriptor read(uint64_t bits) {
  constexpr uint64_t known = 0x3fffull | 0x3fffull << 16 | 0x3fffull << 32 | 7ull << 49 | 3ull << 62;
  if (bits & ~known) throw std::runtime_error("a matrix descriptor with bits that mean nothing");
  if (bits >> 49 & 7) throw std::runtime_error("a matrix descriptor with a base offset, which is not known here");
  constexpr uint64_t widths[] = {1, 8, 4, 2};
  const auto bytes = [&](int at) { return (bits >> at & 0x3fff) << 4; };
  return {bytes(0), bytes(16), bytes(32), widths[bits >> 62]};
}

/** Chunks of a pattern change places by the address's own bits: 128 bytes Swizzle<3,4,3>, 64 <2,4,3>, 32 <1,4,3>. */
uint64_t swizzled(uint64_t address, uint64_t width) { return address ^ ((address >> 7 & (width - 1)) << 4); }

/**
 * Where number k of row or column i of a factor stands. In chunks of 8 numbers, CUTLASS's canonical layouts: by k
 * ((8,n),2):((W,SBO),1), without swizzle ((8,n),2):((1,SBO),LBO); by rows ((W,n),(8,2)):((1,LBO),(W,SBO)), without swizzle
 * ((1,n),(8,2)):((-,SBO),(1,LBO)).
 */
uint64_t addressOf(const Descriptor &d, bool isTransposed, uint64_t i, uint64_t k) {
  const bool isPlain = d.width == 1;
  uint64_t offset;
  if (!isTransposed) offset = i % 8 * d.width * 16 + i / 8 * d.stride + k / 8 * (isPlain ? d.leading : 16) + k % 8 * 2;
  else if (isPlain) offset = i / 8 * d.stride + k % 8 * 16 + k / 8 * d.leading + i % 8 * 2;
  else offset = i / 8 % d.width * 16 + i / 8 / d.width * d.leading + k % 8 * d.width * 16 + k / 8 * d.stride + i % 8 * 2;
  return swizzled(d.start + offset, d.width);
}

void takeShared(uint64_t bits, bool isTransposed, int count, SharedMemory shared, float (*to)[depth]) {
  const Descriptor descriptor = read(bits);
  for (int i = 0; i < count; i++)
    for (int k = 0; k < depth; k++) {
      const uint64_t address = addressOf(descriptor, isTransposed, static_cast<uint64_t>(i), static_cast<uint64_t>(k));
      if (address + 2 > shared.size) throw std::runtime_error("a matrix descriptor leads to address " + std::to_string(address) + " of shared memory, which ends at " + std::to_string(shared.size));
      uint16_t number;
      std::memcpy(&number, shared.bytes + address, sizeof number);
      to[i][k] = ofBf16(number);
    }
}

}  // namespace

void multiplyOfWarp(float (&d)[4][32], const uint32_t (&a)[4][32], const uint32_t (&b)[2][32], const float (&c)[4][32]) {
  float left[16][depth], right[8][depth];
  takeLeft(a, 0, left);
  for (int lane = 0; lane < 32; lane++)
    for (int i = 0; i < 2; i++)
      for (int which = 0; which < 2; which++) right[groupOf(lane)][2 * memberOf(lane) + 8 * i + which] = half(b[i][lane], which);
  for (int lane = 0; lane < 32; lane++)
    for (int i = 0; i < 4; i++) {
      float sum = c[i][lane];
      for (int k = 0; k < depth; k++) sum += left[groupOf(lane) + i / 2 * 8][k] * right[2 * memberOf(lane) + i % 2][k];
      d[i][lane] = sum;
    }
}

void loadMatrices(uint32_t (&to)[4][32], const unsigned char *const (&rows)[32], int count, bool isTransposed) {
  const auto number = [&](int matrix, int row, int column) {
    uint16_t bits;
    std::memcpy(&bits, rows[8 * matrix + row] + 2 * column, sizeof bits);
    return uint32_t{bits};
  };
  for (int matrix = 0; matrix < count; matrix++)
    for (int lane = 0; lane < 32; lane++) {
      const int row = groupOf(lane), column = 2 * memberOf(lane);
      to[matrix][lane] = isTransposed ? number(matrix, column, row) | number(matrix, column + 1, row) << 16
                                      : number(matrix, row, column) | number(matrix, row, column + 1) << 16;
    }
}

void multiplyOfGroup(float (*sums)[128], const GroupOperands &operands, SharedMemory shared) {
  if (operands.columns % 8 != 0 || operands.columns < 8 || operands.columns > 256) throw std::runtime_error("a product of " + std::to_string(operands.columns) + " columns");
  if (operands.aInRegisters && operands.aTransposed) throw std::runtime_error("a transposed factor in registers");
  float left[64][depth], right[256][depth];
  if (operands.aInRegisters)
    for (int warp = 0; warp < 4; warp++) takeLeft(operands.a, 32 * warp, left + 16 * warp);
  else takeShared(operands.aDescriptor, operands.aTransposed, 64, shared, left);
  takeShared(operands.bDescriptor, operands.bTransposed, operands.columns, shared, right);
  const float sign = operands.negateA != operands.negateB ? -1.0f : 1.0f;
  // PTX ISA, "Register Fragments: Accumulator D" of m64nNk16: each warp has 16 rows, and of 8 columns what mma has.
  for (int lane = 0; lane < 128; lane++)
    for (int i = 0; i < operands.columns / 2; i++) {
      const int row = lane / 32 * 16 + groupOf(lane % 32) + i % 4 / 2 * 8, column = i / 4 * 8 + 2 * memberOf(lane) + i % 2;
      float sum = operands.addsToSums ? sums[i][lane] : 0.0f;
      for (int k = 0; k < depth; k++) sum += sign * left[row][k] * right[column][k];
      sums[i][lane] = sum;
    }
}

}  // namespace ptx
}  // namespace vwn
