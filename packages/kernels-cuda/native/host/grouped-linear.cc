/**
 * Products of the rows of each group with weights of its own, and their gradients; kernels in device/half-grouped.cu for bf16, in
 * device/grouped.cu for float32.
 */
#include "../device/grouped.h"
#include "../device/shared-room.h"
#include "../problem.h"
#include "functions.h"
#include "gemm.h"
#include "half-products.h"

namespace vwn {
namespace VWN_ISA {
namespace {

constexpr int64_t tile = 64, slices = 2 * 16 * (tile + 1) * 4;
/** Where a block counts the tiles of groups. */
constexpr int64_t bytesOfEnds = weightsOfLaunch * 4;

/** Groups from `first` on, as many as a launch takes with `weights` of each. */
Groups groupsOf(const GroupedArguments &in, int64_t first, int64_t weights) {
  const int64_t left = in.groups - first, most = weightsOfLaunch / weights;
  return {in.offsets, in.rows, static_cast<int32_t>(in.groups), static_cast<int32_t>(first),
          static_cast<int32_t>(left < most ? left : most), problemFlag(Problem::offsets)};
}

bool takesTensorCores(const GroupedRows &p) {
  bool takes = fitsHalfTiles(p.groups.rows) && fitsHalfTiles(p.N);
  for (int t = 0; t < p.terms; t++) takes = takes && isOfHalves(p.halves, p.a[t]) && fitsHalfTiles(p.K[t]);
  for (int i = 0; i < p.terms * p.groups.count; i++) takes = takes && (p.halves || p.types[i] == VWN_BF16);
  return takes;
}

/** No more blocks than run at once, and than there can be tiles: each group's last one may have few rows. */
Grid gridOfTiles(const GroupedRows &p, int64_t side, int64_t blocksByRegisters, int64_t bytes) {
  const int64_t rows = p.groups.rows, some = rows < p.groups.count ? rows + 1 : p.groups.count;
  const int64_t fitting = blocksAtOnce(bytes, sharedLimit()), blocks = fitting < blocksByRegisters ? fitting : blocksByRegisters;
  return {blocksFor((rows / side + some) * tilesOf(p.N, side), 1, blocks * multiprocessors())};
}

void launchRows(const GroupedRows &p) {
  if (!takesTensorCores(p)) {
    constexpr int64_t bytes = slices + bytesOfEnds;
    launch("groupedRows_f32", gridOfTiles(p, tile, 2, bytes), 256, bytes, p);
    return;
  }
  const bool takesLarge = takeLargeTiles(p.groups.rows / p.groups.all, p.N, p.groups.all);
  withHalfTiles("halfGroupedRows", takesLarge, false, p.transposed, [&](auto shape, const std::string &kernel) {
    constexpr int64_t bytes = shape.bytes + bytesOfEnds;
    launch(kernel, gridOfTiles(p, shape.side, shape.blocks, bytes), halfThreads, bytes, p);
  });
}

/** C [R, N] = Σ a[s] · weights of sets [from, from + terms), in launches of some groups each. */
void multiplyRows(Call &call, const GroupedArguments &in, int64_t from, int terms, const Matrix *a, const int64_t *K,
                  bool transposed, int64_t N, const Reals &c) {
  for (int64_t first = 0; first < in.groups;) {
    GroupedRows p{};
    p.groups = groupsOf(in, first, terms);
    p.N = N, p.terms = terms, p.transposed = transposed, p.halves = in.halves, p.type = c.type, p.c = c.data;
    for (int t = 0; t < terms; t++) {
      p.a[t] = a[t], p.K[t] = K[t];
      for (int i = 0; i < p.groups.count; i++) {
        const Reals weight = in.weight(call, from + t, first + i);
        p.weights[t * p.groups.count + i] = weight.data;
        p.types[t * p.groups.count + i] = static_cast<uint8_t>(weight.type);
      }
    }
    launchRows(p);
    first += p.groups.count;
  }
}

void launchColumns(const GroupedColumns &p) {
  const bool fits = fitsHalfTiles(p.M) && fitsHalfTiles(p.N) && fitsHalfTiles(p.groups.rows);
  if (!fits || !isOfHalves(p.halves, p.a) || !isOfHalves(p.halves, p.b)) {
    launch("groupedColumns_f32", {tilesOf(p.M, tile) * tilesOf(p.N, tile), p.groups.count}, 256, slices, p);
    return;
  }
  const bool takesLarge = takeLargeTiles(p.M, p.N, p.groups.count);
  withHalfTiles("halfGroupedColumns", takesLarge, true, false, [&](auto shape, const std::string &kernel) {
    launch(kernel, {tilesOf(p.M, shape.side) * tilesOf(p.N, shape.side), p.groups.count}, halfThreads, shape.bytes, p);
  });
}

/** dW = dyᵀ x of each group of a set. */
void multiplyColumns(Call &call, const GroupedLinearGradArguments &in, int64_t set) {
  const int64_t out = in.out(call, set);
  for (int64_t first = 0; first < in.groups;) {
    GroupedColumns p{};
    p.groups = groupsOf(in, first, 1);
    p.M = out, p.N = in.width, p.halves = in.halves;
    p.a = matrix(in.dy(call, set), out, false), p.b = matrix(in.x, in.width, false);
    for (int i = 0; i < p.groups.count; i++) p.c[i] = in.dWeight(call, set, first + i);
    launchColumns(p);
    first += p.groups.count;
  }
}

}  // namespace

/** See GroupedLinearArguments. */
const char *grouped_linear(const vwn_call *raw) {
  Call call(raw, 4, 5);
  if (call.problem()) return call.problem();
  const GroupedLinearArguments in(call);
  if (in.problem()) return in.problem();
  // All are checked before the first is multiplied.
  for (int64_t s = 0; s < in.sets; s++) {
    (void)in.y(call, s);
    for (int64_t e = 0; e < in.groups; e++) (void)in.weight(call, s, e);
  }
  if (call.problem()) return call.problem();
  const Matrix x = matrix(in.x, in.width, false);
  for (int64_t s = 0; s < in.sets; s++) multiplyRows(call, in, s, 1, &x, &in.width, true, in.out(call, s), in.y(call, s));
  return nullptr;
}

/** See GroupedLinearGradArguments. */
const char *grouped_linear_grad(const vwn_call *raw) {
  Call call(raw, 6, 5);
  if (call.problem()) return call.problem();
  const GroupedLinearGradArguments in(call);
  if (in.problem()) return in.problem();
  if (in.sets > maximumTerms) return "grouped_linear: at most 8 sets of weights have a gradient: call it with fewer at once";
  Matrix dys[maximumTerms];
  int64_t outs[maximumTerms];
  for (int64_t s = 0; s < in.sets; s++) {
    outs[s] = in.out(call, s);
    dys[s] = matrix(in.dy(call, s), outs[s], false);
    for (int64_t e = 0; e < in.groups; e++) (void)in.weight(call, s, e), (void)in.dWeight(call, s, e);
  }
  if (call.problem()) return call.problem();
  multiplyRows(call, in, 0, static_cast<int>(in.sets), dys, outs, false, in.width, in.dx);
  for (int64_t s = 0; s < in.sets; s++) multiplyColumns(call, in, s);
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
