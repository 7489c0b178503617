/** Matrix products of bf16, or of what is rounded to it, by tensor cores: what runs without cuBLASLt. */
#include "half-result.h"

namespace vwn {
namespace cuda {
namespace {

struct TilePlace {
  int row, column;
};

/** Strips of tiles, column by column: blocks that run at once read few rows of A and few columns of B between them. */
template <int side>
VWN_DEVICE TilePlace placeOfTile(unsigned index, int M, int N) {
  constexpr unsigned tall = 8;
  const unsigned rows = (M + side - 1) / side, columns = (N + side - 1) / side, strip = index / (tall * columns);
  const unsigned left = rows - strip * tall, height = left < tall ? left : tall, inStrip = index % (tall * columns);
  return {static_cast<int>((strip * tall + inStrip % height) * side), static_cast<int>(inStrip / height * side)};
}

/** Grid: tiles of C by x, matrices of the batch by y (in turns). Operands of all terms lie alike. */
template <int side, bool aAlongK, bool bAlongK>
VWN_DEVICE void halfMatmul(const Product &p) {
  VWN_SHARED(bf16, slices);
  const int M = static_cast<int>(p.M), N = static_cast<int>(p.N);
  const TilePlace tile = placeOfTile<side>(blockIdx.x, M, N);
  for (int64_t batch = blockIdx.y; batch < p.batch; batch += gridDim.y) {
    void *c = static_cast<char *>(p.c) + batch * p.strideC * (p.type == VWN_BF16 ? 2 : 4);
    const HalfResult result{c, p.type, M, N, tile.row, tile.column};
    HalfSums<side> sums = {};
    if (p.accumulate) beginWith<side>(result, sums);
    for (int t = 0; t < p.terms; t++) {
      const Term &term = p.each[t];
      const int K = static_cast<int>(term.K);
      const HalfOperand<side, aAlongK> a(term.a, batch, tile.row, M, K);
      const HalfOperand<side, bAlongK> b(term.b, batch, tile.column, N, K);
      addHalfProduct<side, aAlongK, bAlongK>({a, b, K, slices}, sums);
    }
    writeHalfTile<side>(result, sums);
  }
}
VWN_HALF_ENTRIES(halfMatmul, nn, true, false, (Product product), (product))
VWN_HALF_ENTRIES(halfMatmul, nt, true, true, (Product product), (product))
VWN_HALF_ENTRIES(halfMatmul, tn, false, false, (Product product), (product))
VWN_HALF_ENTRIES(halfMatmul, tt, false, true, (Product product), (product))

}  // namespace
}  // namespace cuda
}  // namespace vwn
