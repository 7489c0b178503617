/**
 * What NVIDIA's matrix instructions compute, of bf16 with float sums, told by the PTX ISA and by CUTLASS's canonical layouts
 * (cute/arch/mma_sm90_desc.hpp) and not by the kernels, which they check. Of registers, value i of lane l is [i][l].
 */
#pragma once
#include <cstddef>
#include <cstdint>

namespace vwn {
namespace ptx {

/** d = a·b + c: mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32. */
void multiplyOfWarp(float (&d)[4][32], const uint32_t (&a)[4][32], const uint32_t (&b)[2][32], const float (&c)[4][32]);

/** ldmatrix.m8n8.x1, x2 or x4 of b16: rows[l] is where lane l's row begins, of `count`·8 lanes. */
void loadMatrices(uint32_t (&to)[4][32], const unsigned char *const (&rows)[32], int count, bool isTransposed);

/** Shared memory as if it began at address 0. */
struct SharedMemory {
  const unsigned char *bytes;
  size_t size;
};

/** Of wgmma.mma_async.m64nNk16; `columns` is N. */
struct GroupOperands {
  bool aInRegisters;
  uint32_t a[4][128];
  uint64_t aDescriptor, bDescriptor;
  bool addsToSums, negateA, negateB, aTransposed, bTransposed;
  int columns;
};

/** sums[i][lane], i < N / 2, = or += a·b. @throws std::runtime_error where a descriptor asks for what there is not */
void multiplyOfGroup(float (*sums)[128], const GroupOperands &operands, SharedMemory shared);

}  // namespace ptx
}  // namespace vwn
