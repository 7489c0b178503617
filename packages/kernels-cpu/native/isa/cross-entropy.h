/** What both forms of cross-entropy are made of: rows of logits, a block of columns at a time, and sizes of chunks. */
#pragma once
#include "../workspace.h"
#include "call.h"
#include "gemm.h"
#include "rows.h"
#include "vwn_arguments.h"

namespace vwn {
namespace VWN_ISA {

/** Of one row and one block of columns. */
struct Partial {
  float largest, sum, target;
};

/**
 * The largest logit, Σ exp(logit − largest) and the target's logit; `keep(j, exponentials, count)` sees
 * each vector of them, of which `count` lanes are columns.
 */
template <class Keep>
VWN_INLINE Partial reduceRow(const float *logits, int64_t columns, int64_t target, const Keep &keep) {
  vf top = splat(-INFINITY);
  vf nan = {};
  const auto see = [&](vf x) {
    top = vmax(x, top);
    nan += x - x;  // NaN once any logit is NaN or infinite
  };
  eachVector(
      columns, [&](int64_t j) { see(load(logits + j)); },
      [&](int64_t j, int64_t n) {
        for (int64_t i = 0; i < n; i++) see(splat(logits[j + i]));
      });
  const float largest = maxLanes(top);
  vf total = nan;
  eachVector(
      columns,
      [&](int64_t j) {
        const vf e = vexp(load(logits + j) - largest);
        total += e;
        keep(j, e, W);
      },
      [&](int64_t j, int64_t n) {
        vf e = vexp(loadFirst(logits + j, n) - largest);
        for (int i = 0; i < W; i++)
          if (i >= n) e[i] = 0;
        total += e;
        keep(j, e, n);
      });
  return {largest, sumLanes(total), target >= 0 && target < columns ? logits[target] : 0.0f};
}

/** log Σ exp and the target's logit of a whole row. */
inline void combine(const Partial *partials, int64_t tasks, float &logSumExp, float &target) {
  float largest = partials[0].largest, sum = 0;
  target = 0;
  for (int64_t t = 1; t < tasks; t++) largest = partials[t].largest > largest ? partials[t].largest : largest;
  for (int64_t t = 0; t < tasks; t++) {
    sum += partials[t].sum * std::exp(partials[t].largest - largest);
    target += partials[t].target;
  }
  logSumExp = largest + std::log(sum);
}

inline const char *checkTargets(Call &call, const int32_t *targets, int64_t N, int64_t V, int64_t ignore) {
  for (int64_t i = 0; i < N && !call.problem(); i++)
    if (targets[i] != ignore && (targets[i] < 0 || targets[i] >= V))
      call.fail("target %d is outside the vocabulary of %lld words, and must be 0 … %lld or the ignored index %lld; check that "
                "the tokenizer belongs to the model",
                targets[i], static_cast<long long>(V), static_cast<long long>(V - 1), static_cast<long long>(ignore));
  return call.problem();
}

/** Rows whose logits, or gradients of logits, are there at a time. */
inline int64_t rowsOfChunk(const CrossEntropyArguments &in) {
  constexpr int64_t chunkBytes = int64_t{16} << 20;
  const int64_t fitting = chunkBytes / ((in.halves ? 2 : 4) * (in.V < 1 ? 1 : in.V)), chunk = fitting < 64 ? 64 : fitting;
  return chunk < in.N ? chunk : in.N;
}

/** Products of one chunk of rows, from row `first` on. */
struct Chunk {
  const CrossEntropyArguments &in;
  int64_t first, rows;
  Operand hidden, gradient; /* [rows, D]; dLogits [rows, V] in bf16 or float32 */

  Chunk(const CrossEntropyArguments &in_, int64_t first_, int64_t rows_, void *dLogits)
      : in(in_), first(first_), rows(rows_), hidden{from(in.hidden), in.hidden.type, in.D, false},
        gradient{dLogits, in.halves ? VWN_BF16 : VWN_F32, in.V, false} {}

  /** Logits [rows, V], handed to the epilogue. */
  bool logits(Epilogue epilogue, const void *context) const {
    const Product product{rows, in.V, in.D, hidden, weight(true), nullptr, VWN_F32, in.V, false, in.halves};
    return gemmInto(product, epilogue, context);
  }
  /** dHidden = dLogits·W, and dWeight (+)= dLogitsᵀ·hidden. */
  bool gradients(const Reals &dHidden, float *dWeight) const {
    const Product toHidden{rows, in.D, in.V, gradient, weight(false), from(dHidden), dHidden.type, in.D, false, in.halves};
    const Operand turned{gradient.data, gradient.type, in.V, true};
    const Product toWeight{in.V, in.D, rows, turned, hidden, dWeight, VWN_F32, in.D, first > 0, in.halves};
    const Product both[] = {toWeight, toHidden};
    return groupedGemm(both, 2);
  }

 private:
  Operand weight(bool transposed) const { return {in.weight.data, in.weight.type, in.D, transposed}; }
  char *from(const Reals &all) const { return static_cast<char *>(all.data) + first * in.D * (all.type == VWN_BF16 ? 2 : 4); }
};

}  // namespace VWN_ISA
}  // namespace vwn
