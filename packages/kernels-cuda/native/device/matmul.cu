/** Matrix products of float32, or of mixed storage, tile by tile: what runs without cuBLASLt. */
#include "product-tile.h"

namespace vwn {
namespace cuda {
namespace {

/** Grid: tiles of C by x, matrices of the batch by y (in turns). */
template <class T>
VWN_DEVICE void matmul(const Product &p) {
  VWN_SHARED(float, slices);
  const int64_t columns = tilesOf(p.N);
  const int64_t fromRow = blockIdx.x / columns * tileSize, fromColumn = blockIdx.x % columns * tileSize;
  for (int64_t batch = blockIdx.y; batch < p.batch; batch += gridDim.y) {
    float sums[own][own] = {};
    for (int t = 0; t < p.terms; t++) {
      const Term &term = p.each[t];
      addProduct(term.a, term.b, batch, p.M, p.N, term.K, p.halves, fromRow, fromColumn, slices, sums);
    }
    void *c = static_cast<char *>(p.c) + batch * p.strideC * (p.type == VWN_BF16 ? 2 : 4);
    writeTile(c, p.type, p.accumulate, p.M, p.N, fromRow, fromColumn, sums);
  }
}
VWN_SINGLE_IN_PAIRS(matmul, (Product product), (product))

}  // namespace
}  // namespace cuda
}  // namespace vwn
