/**
 * Products with so few rows of A that a packed B would take longer to make than to use: B, stored [N, K], is read where it
 * lies, once, W of its rows at a time, in dots along K. The next token of a text that is being generated is such a row.
 */
#pragma once
#include "gemm.h"
#include "rows.h"
#include "transpose.h"
#include "vwn_kernels.h"

namespace vwn {
namespace VWN_ISA {

constexpr int64_t mostFewRows = 4;

/** Whether the product is made here. */
inline bool hasFewRows(const Product &p) {
  return p.M <= mostFewRows && p.b.transposed && !p.a.transposed && p.otherCount == 0;
}

/** A vector of an operand. Processors that multiply bf16 round those of `halves`, however many rows a product has. */
template <bool halves, class T>
VWN_INLINE vf loadOperand(const T *from, int64_t count = W) {
  const vf x = count == W ? load(from) : loadFirst(from, count);
  if constexpr (halves && std::is_same_v<T, float>) return widen(narrow(x));
  else return x;
}

/** Lane k is the dot of `row` with rows[k], all of K numbers. */
template <bool halves, class A, class B>
VWN_INLINE vf dotsWithRows(int64_t K, const A *row, const B *const (&rows)[W]) {
  vf sums[W] = {};
  int64_t d = 0;
  for (; d + W <= K; d += W) {
    const vf left = loadOperand<halves>(row + d);
#pragma GCC unroll 16
    for (int k = 0; k < W; k++) sums[k] += left * loadOperand<halves>(rows[k] + d);
  }
  if (d < K) {
    const vf left = loadOperand<halves>(row + d, K - d);
#pragma GCC unroll 16
    for (int k = 0; k < W; k++) sums[k] += left * loadOperand<halves>(rows[k] + d, K - d);
  }
  return sumsOfRows(sums);
}

/** Columns [begin, end) of C; `end` is the last or a multiple of W away. */
template <bool halves, class A, class B, class C>
void columnsOfFewRows(const Product &p, const A *a, const B *b, C *c, int64_t begin, int64_t end) {
  for (int64_t j = begin; j < end; j += W) {
    const B *rows[W];
    for (int64_t k = 0; k < W; k++) rows[k] = b + (j + k < end ? j + k : end - 1) * p.b.ld;
    for (int64_t i = 0; i < p.M; i++) {
      const int64_t count = end - j < W ? end - j : W;
      C *out = c + i * p.ldc + j;
      const vf old = p.accumulate ? loadFirst(out, count) : vf{};
      storeFirst(out, old + dotsWithRows<halves>(p.K, a + i * p.a.ld, rows), count);
    }
  }
}

template <bool halves>
void columnsOfFewRows(const Product &p, int64_t begin, int64_t end) {
  const auto typed = [](const void *data, int32_t type, const auto &then) {
    if (type == VWN_BF16) then(static_cast<const bf16 *>(data));
    else then(static_cast<const float *>(data));
  };
  typed(p.a.data, p.a.type, [&](const auto *a) {
    typed(p.b.data, p.b.type, [&](const auto *b) {
      if (p.type == VWN_BF16) columnsOfFewRows<halves>(p, a, b, static_cast<bf16 *>(p.c), begin, end);
      else columnsOfFewRows<halves>(p, a, b, static_cast<float *>(p.c), begin, end);
    });
  });
}

/** A product that hasFewRows, on all threads where `parallel`. */
inline void multiplyFewRows(const Product &p, bool parallel) {
  const auto columns = [&](int64_t first, int64_t last) {
    const int64_t begin = first * W, end = last * W < p.N ? last * W : p.N;
    if (p.halves && hasPairs) columnsOfFewRows<hasPairs>(p, begin, end);
    else columnsOfFewRows<false>(p, begin, end);
  };
  const int64_t vectors = (p.N + W - 1) / W;
  if (parallel) parallelRange(vectors, leastRows(W * p.K), columns);
  else columns(0, vectors);
}

}  // namespace VWN_ISA
}  // namespace vwn
