/**
 * Products of matrices: what cuBLASLt can make it makes, tiles in shared memory the rest, of bf16 by tensor cores
 * (device/half-matmul.cu), of float32 without (device/matmul.cu).
 */
#include "gemm.h"

#include "../blas/cublaslt.h"
#include "../blas/multiply.h"
#include "half-products.h"

namespace vwn {
namespace VWN_ISA {
namespace {

bool takesTensorCores(const Product &p) {
  bool takes = p.terms > 0 && fitsHalfTiles(p.M) && fitsHalfTiles(p.N);
  for (int i = 0; i < p.terms; i++) {
    const auto &[K, a, b] = p.each[i];
    takes = takes && isOfHalves(p.halves, a) && isOfHalves(p.halves, b) && fitsHalfTiles(K) &&
            a.transposed == p.each[0].a.transposed && b.transposed == p.each[0].b.transposed;
  }
  return takes;
}

void byOwnKernel(const Product &p) {
  const int64_t batches = p.batch < 65535 ? p.batch : 65535;
  if (!takesTensorCores(p)) {
    constexpr int64_t tile = 64, slices = 2 * 16 * (tile + 1) * 4;
    launch("matmul_f32", {tilesOf(p.M, tile) * tilesOf(p.N, tile), batches}, 256, slices, p);
    return;
  }
  const auto &[K, a, b] = p.each[0];
  const bool takesLarge = takeLargeTiles(p.M, p.N, p.batch);
  withHalfTiles("halfMatmul", takesLarge, a.transposed, b.transposed, [&](auto shape, const std::string &kernel) {
    launch(kernel, {tilesOf(p.M, shape.side) * tilesOf(p.N, shape.side), batches}, halfThreads, shape.bytes, p);
  });
}

void convertAll(const void *from, int32_t type, int64_t size, void *to, bool toHalves) {
  withFloats(const_cast<void *>(from), type, [&](auto *typed) {
    using T = std::remove_pointer_t<decltype(typed)>;
    launch(forType("convertTo", type), {blocksOfEights(size)}, 256, 0, static_cast<const T *>(typed), to, size,
           static_cast<int>(toHalves));
  });
}

/** `rows` as they lie in memory, for each matrix of the batch. */
Matrix asHalves(const Matrix &m, int64_t rows, int64_t batch, Slot slot) {
  const int64_t size = (m.stride ? (batch - 1) * m.stride : 0) + rows * m.ld;
  Matrix rounded = m;
  void *data = scratch(slot, size * 2);
  convertAll(m.data, m.type, size, data, true);
  rounded.data = data;
  rounded.type = VWN_BF16;
  return rounded;
}

/** Operands of one term in the type that cuBLASLt is to have of both. */
Term inOneType(const Product &p, Term term) {
  if (!p.halves) return term;
  if (term.a.type == VWN_F32) term.a = asHalves(term.a, term.a.transposed ? term.K : p.M, p.batch, Slot::left);
  if (term.b.type == VWN_F32) term.b = asHalves(term.b, term.b.transposed ? p.N : term.K, p.batch, Slot::right);
  return term;
}

/**
 * Terms one by one, each added to what C has. Where C is bf16 that is rounded between terms, as it is where a framework adds the
 * gradients of separate layers: float32 sums on the way would be several times the traffic of the products themselves.
 */
void termByTerm(const Product &p) {
  for (int i = 0; i < p.terms; i++) {
    Product one = p;
    one.terms = 1;
    one.each[0] = inOneType(p, p.each[i]);
    one.accumulate = p.accumulate || i > 0;
    if (!multiply(one)) byOwnKernel(one);
  }
}

bool isEmpty(const Product &p) {
  bool empty = p.M < 1 || p.N < 1 || p.batch < 1 || p.terms < 1;
  for (int i = 0; i < p.terms; i++) empty = empty || p.each[i].K < 1;
  return empty;
}

}  // namespace

Matrix roundedFor(bool halves, const Matrix &m, int64_t rows, Slot slot) {
  return halves && cublasLt() && m.type == VWN_F32 && rows > 0 ? asHalves(m, rows, 1, slot) : m;
}

void gemm(const Product &p) {
  if (cublasLt() && !isEmpty(p)) termByTerm(p);
  else byOwnKernel(p);
}

}  // namespace VWN_ISA
}  // namespace vwn
