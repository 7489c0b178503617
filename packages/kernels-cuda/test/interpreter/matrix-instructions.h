/**
 * What NVIDIA's matrix instructions compute, on a CPU: `mma.sync`, `ldmatrix` and `wgmma.mma_async` of bf16, as the
 * PTX ISA describes them. Sections are those of PTX ISA 9.0.
 *
 * Sums. The ISA leaves order, rounding and subnormals of the accumulation open (9.7.14.5.14 for mma, 9.7.15.5.2 for
 * wgmma: "at least single precision"). Here a sum starts at C (at 0 where there is none) and adds the products in
 * order of k, each rounded to float. The product of two bf16 has 16 significant bits, so a float holds it exactly
 * unless its exponent leaves float's range. Subnormals are kept.
 */
#pragma once
#include <cstddef>
#include <cstdint>

namespace vwn::ptx {

/** The window of shared memory that begins at shared address 0. */
struct SharedMemory {
  const unsigned char *bytes;
  size_t size;
};

/** The operands of one `wgmma.mma_async.m64nNk16.f32.bf16.bf16`, which all four warps of a warpgroup share. */
struct GroupOperands {
  /** Whether A [64,16] lies in `a` rather than where `aDescriptor` says. */
  bool aInRegisters;
  /** Register i of lane l, two bf16 each, the lower k in the lower half. */
  uint32_t a[4][128];
  uint64_t aDescriptor, bDescriptor;
  /** scale-d: D = A·B + D rather than D = A·B. */
  bool addsToSums;
  /** imm-scale-a and imm-scale-b of -1. */
  bool negateA, negateB;
  /** imm-trans-a and imm-trans-b: M-major and N-major in shared memory rather than K-major. */
  bool aTransposed, bTransposed;
  /** N: 8 to 256 in steps of 8. */
  int columns;
};

/**
 * D = A·B + C of `mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32` (9.7.14.5.8). Register i of lane l is [i][l];
 * d may be c.
 */
void multiplyOfWarp(float (&d)[4][32], const uint32_t (&a)[4][32], const uint32_t (&b)[2][32],
                    const float (&c)[4][32]);

/**
 * `ldmatrix.sync.aligned.m8n8.x{1,2,4}[.trans].shared.b16` (9.7.14.5.15): `count` matrices of 8 rows of 16 bytes,
 * whose addresses lanes 0 to 8·count-1 bring. Registers from `count` on keep what they hold. Throws
 * std::runtime_error where the count is none of 1, 2, 4 or a row is missing.
 */
void loadMatrices(uint32_t (&to)[4][32], const unsigned char *const (&rows)[32], int count, bool transposed);

/**
 * D = A·B (+ D) of `wgmma.mma_async.sync.aligned.m64nNk16.f32.bf16.bf16` (9.7.15.5.2). Sum i of lane l is
 * sums[i][l], i < columns/2. Throws std::runtime_error, before any sum changes, where the operands ask for what the
 * ISA does not define.
 */
void multiplyOfGroup(float (*sums)[128], const GroupOperands &operands, SharedMemory shared);

}  // namespace vwn::ptx
