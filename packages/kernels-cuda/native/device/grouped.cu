/** Products of each group's rows with its own matrices; one launch for many groups, whose sizes only the device knows. */
#include "group-tiles.h"
#include "product-tile.h"

namespace vwn {
namespace cuda {
namespace {

/** Grid: as many blocks as there is room for, which share out all tiles. */
template <class T>
VWN_DEVICE void groupedRows(const GroupedRows &p) {
  VWN_SHARED(float, slices);
  int32_t *ends = reinterpret_cast<int32_t *>(slices + 2 * depth * sliceStride);
  eachTileOfGroups(p.groups, tileSize, static_cast<int>(tilesOf(p.N)), ends, [&](int i, const Range &rows, int row, int column) {
    const int64_t M = rows.end - rows.begin;
    float sums[own][own] = {};
    for (int t = 0; t < p.terms; t++)
      addProduct(fromRow(p.a[t], rows.begin), weightOf(p, t, i), 0, M, p.N, p.K[t], p.halves, row, column, slices, sums);
    writeTile(rowsOfResult(p, rows), p.type, false, M, p.N, row, column, sums);
  });
}
VWN_SINGLE_IN_PAIRS(groupedRows, (GroupedRows product), (product))

/** Grid: tiles of C by x, groups by y. */
template <class T>
VWN_DEVICE void groupedColumns(const GroupedColumns &p) {
  VWN_SHARED(float, slices);
  const int64_t columns = tilesOf(p.N);
  const int64_t row = blockIdx.x / columns * tileSize, column = blockIdx.x % columns * tileSize;
  const Range rows = rangeOf(p.groups, p.groups.first + static_cast<int>(blockIdx.y));
  Matrix a = fromRow(p.a, rows.begin);
  a.transposed = 1;
  float sums[own][own] = {};
  addProduct(a, fromRow(p.b, rows.begin), 0, p.M, p.N, rows.end - rows.begin, p.halves, row, column, slices, sums);
  writeTile(p.c[blockIdx.y], VWN_F32, false, p.M, p.N, row, column, sums);
}
VWN_SINGLE_IN_PAIRS(groupedColumns, (GroupedColumns product), (product))

}  // namespace
}  // namespace cuda
}  // namespace vwn
