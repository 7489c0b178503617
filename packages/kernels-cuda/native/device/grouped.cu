/** Products of each group's rows with its own matrices; one launch for many groups, whose sizes only the device knows. */
#include "grouped.h"
#include "product-tile.h"

namespace vwn {
namespace cuda {
namespace {

struct Range {
  int64_t begin, end;
};

/** Rows of the group; none where offsets are not what they should be, which the flag then says. */
VWN_DEVICE Range rangeOf(const Groups &groups, int e) {
  const int64_t begin = groups.offsets[e], end = groups.offsets[e + 1];
  const bool isRange = begin >= 0 && begin <= end && end <= groups.rows;
  const bool atEnds = (e > 0 || begin == 0) && (e + 1 < groups.all || end == groups.rows);
  if (!isRange || !atEnds) tell(groups.problem);
  return isRange ? Range{begin, end} : Range{0, 0};
}

/** Row `row` and what follows, of a matrix that lies row by row. */
VWN_DEVICE Matrix fromRow(Matrix matrix, int64_t row) {
  matrix.data = static_cast<const char *>(matrix.data) + row * matrix.ld * (matrix.type == VWN_BF16 ? 2 : 4);
  return matrix;
}

/** Grid: tiles of columns by y; by x as many tiles of rows as groups can have together: each finds its own. */
template <class T>
VWN_DEVICE void groupedRows(const GroupedRows &p) {
  VWN_SHARED(float, slices);
  const int64_t column = static_cast<int64_t>(blockIdx.y) * tileSize;
  int64_t tile = blockIdx.x;
  for (int i = 0; i < p.groups.count; i++) {
    const Range rows = rangeOf(p.groups, p.groups.first + i);
    const int64_t M = rows.end - rows.begin;
    if (tile >= 0 && tile < tilesOf(M)) {
      float sums[own][own] = {};
      for (int t = 0; t < p.terms; t++) {
        const int at = t * p.groups.count + i;
        const Matrix b{p.weights[at], p.types[at], p.transposed, p.transposed ? p.K[t] : p.N, 0};
        addProduct(fromRow(p.a[t], rows.begin), b, 0, M, p.N, p.K[t], p.halves, tile * tileSize, column, slices, sums);
      }
      void *c = static_cast<char *>(p.c) + rows.begin * p.N * (p.type == VWN_BF16 ? 2 : 4);
      writeTile(c, p.type, false, M, p.N, tile * tileSize, column, sums);
    }
    tile -= tilesOf(M);
  }
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
