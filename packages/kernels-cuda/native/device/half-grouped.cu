/** As grouped.cu, by tensor cores: products of bf16, or of what is rounded to it. */
#include "group-tiles.h"
#include "half-result.h"

namespace vwn {
namespace cuda {
namespace {

/** Grid: as many blocks as there is room for, which share out all tiles. */
template <int side, bool aAlongK, bool bAlongK>
VWN_DEVICE void halfGroupedRows(const GroupedRows &p) {
  VWN_SHARED(bf16, slices);
  int32_t *ends = reinterpret_cast<int32_t *>(slices + HalfShape<side>::numbers);
  const int N = static_cast<int>(p.N), columns = (N + side - 1) / side;
  eachTileOfGroups(p.groups, side, columns, ends, [&](int i, const Range &rows, int row, int column) {
    const int M = static_cast<int>(rows.end - rows.begin);
    HalfSums<side> sums = {};
    for (int t = 0; t < p.terms; t++) {
      const int K = static_cast<int>(p.K[t]);
      const HalfOperand<side, aAlongK> a(fromRow(p.a[t], rows.begin), 0, row, M, K);
      addHalfProduct<side, aAlongK, bAlongK>({a, {weightOf(p, t, i), 0, column, N, K}, K, slices}, sums);
    }
    writeHalfTile<side>({rowsOfResult(p, rows), p.type, M, N, row, column}, sums);
  });
}
VWN_HALF_ENTRIES(halfGroupedRows, nn, true, false, (GroupedRows product), (product))
VWN_HALF_ENTRIES(halfGroupedRows, nt, true, true, (GroupedRows product), (product))

/** Grid: tiles of C by x, groups by y. */
template <int side, bool aAlongK, bool bAlongK>
VWN_DEVICE void halfGroupedColumns(const GroupedColumns &p) {
  VWN_SHARED(bf16, slices);
  const int M = static_cast<int>(p.M), N = static_cast<int>(p.N), columns = (N + side - 1) / side;
  const int tile = static_cast<int>(blockIdx.x), row = tile / columns * side, column = tile % columns * side;
  const Range rows = rangeOf(p.groups, p.groups.first + static_cast<int>(blockIdx.y));
  const int K = static_cast<int>(rows.end - rows.begin);
  HalfSums<side> sums = {};
  const HalfOperand<side, aAlongK> a(fromRow(p.a, rows.begin), 0, row, M, K);
  const HalfOperand<side, bAlongK> b(fromRow(p.b, rows.begin), 0, column, N, K);
  addHalfProduct<side, aAlongK, bAlongK>({a, b, K, slices}, sums);
  writeHalfTile<side>({p.c[blockIdx.y], VWN_F32, M, N, row, column}, sums);
}
VWN_HALF_ENTRIES(halfGroupedColumns, tn, false, false, (GroupedColumns product), (product))

}  // namespace
}  // namespace cuda
}  // namespace vwn
