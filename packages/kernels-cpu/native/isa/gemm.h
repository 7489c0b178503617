/** General matrix product over packed panels; see gemm.cc. */
#pragma once
#include <cstdint>

#include "simd.h"

namespace vwn {
namespace VWN_ISA {

/** A logical matrix; `transposed`: element (i, j) stands at [j·ld + i]. */
struct Operand {
  const void *data;
  int32_t type; /* VWN_F32 or VWN_BF16 */
  int64_t ld;
  bool transposed;
};

/** One product of a sum of products. */
struct Term {
  int64_t K;
  Operand a, b;
};

struct Product {
  int64_t M, N, K;
  Operand a; /* [M, K] */
  Operand b; /* [K, N] */
  void *c;   /* [M, ldc] */
  int32_t type;
  int64_t ldc;
  bool accumulate; /* C += (float32 C only) */
  bool halves;     /* operands rounded to bf16, sums in float32 */
  /* C is the sum of A·B and of these products, each with a K of its own. */
  const Term *others = nullptr;
  int64_t otherCount = 0;
};

/** What a kernel returns when one of the functions below returns false: scratch memory cannot be had. */
/** Begins as outOfMemory does: see vwn_kernels.h. */
constexpr const char *noRoomToPack = "out of memory: no room for packed matrices";

/**
 * Called with each finished block of C instead of its being stored: rows [row, row + rows), columns [column, column +
 * columns), sums[i·ld + j]; `columnTask` counts blocks along a row. Blocks come in any order and from any thread.
 */
struct BlockOfC {
  int64_t row, rows, column, columns, columnTask;
  const float *sums;
  int64_t ld;
};
using Epilogue = void (*)(const void *context, const BlockOfC &block);

/** A·B on all threads, handed block by block to the epilogue; `c`, `ldc` and `accumulate` are not used. */
bool gemmInto(const Product &product, Epilogue epilogue, const void *context);
/** Of gemmInto: columns of a block, but for the last, and blocks that a row of C of N columns has. */
int64_t columnsOfTask();
int64_t columnTasksOf(int64_t N);

/** Many products of one shape and one term: pointers advance by strides, in elements. */
struct Batch {
  int64_t count;
  int64_t strideA, strideB, strideC;
};
bool batchedGemm(const Product &first, const Batch &batch);

/**
 * All products, of one `halves`: blocks of all are one set of tasks, so that threads wait for each other once. Neighbours that
 * multiply by the same B share its packed form.
 */
bool groupedGemm(const Product *products, int64_t count);

}  // namespace VWN_ISA
}  // namespace vwn
