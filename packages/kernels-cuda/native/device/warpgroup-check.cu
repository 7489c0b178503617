/**
 * Whether products by warpgroups are here what the kernels of this library take them for: of small whole numbers, every kind of
 * product that they ask for, beside plain sums. Whether two blocks of a cluster see what they show each other. And whether blocks that
 * add to the same sums in turn all have their turn, and find what those before them have added.
 */
#include "block-cluster.h"
#include "turns.h"
#include "warpgroup-matrix.h"

namespace vwn {
namespace cuda {
namespace {

#if defined(VWN_HAS_WARPGROUPS)
constexpr int checkDepth = slabColumns, checkGroups = 2, checkRows = checkGroups * groupRows, checkColumns = 2 * slabColumns;

VWN_DEVICE float leftNumber(int row, int k) { return static_cast<float>((row * 3 + k * 5) % 7 - 3); }
VWN_DEVICE float rightNumber(int k, int column) { return static_cast<float>((k * 3 + column * 5) % 11 - 5); }

/** The same two matrices, by rows and by columns: [128, 64], each group's [64, 64] transposed, [64, 128] transposed, and as it is. */
struct CheckRoom {
  bf16 *leftRows, *leftColumns, *rightRows, *rightColumns;

  VWN_DEVICE explicit CheckRoom(bf16 *at) {
    leftRows = at, at += checkRows * checkDepth;
    leftColumns = at, at += checkRows * checkDepth;
    rightRows = at, at += checkColumns * checkDepth;
    rightColumns = at;
  }
  VWN_DEVICE void fill() const {
    for (int i = static_cast<int>(threadIdx.x); i < checkRows * checkDepth; i += static_cast<int>(blockDim.x)) {
      const int row = i / checkDepth, k = i % checkDepth;
      put(leftRows[placeInSlab(row, k)], leftNumber(row, k));
      put(leftColumns[placeInSlab(row / groupRows * checkDepth + k, row % groupRows)], leftNumber(row, k));
      put(rightRows[placeInSlab(row, k)], rightNumber(k, row));
      put(rightColumns[placeInSlabs(checkDepth, k, row)], rightNumber(k, row));
    }
    fenceForProducts();
    __syncthreads();
  }
};

/** Whether sums of all columns from `firstColumn` on are right that multiplyAt(k, sums) makes of 16 numbers at a time. */
template <int tiles, class MultiplyAt>
VWN_DEVICE bool areRight(int firstColumn, const MultiplyAt &multiplyAt) {
  Sum sums[tiles];
  beginProducts();
#pragma unroll
  for (int k = 0; k < checkDepth; k += 16) multiplyAt(k, sums);
  commitProducts();
  awaitProducts<0>();
  holdSums(sums);
  bool right = true;
#pragma unroll
  for (int j = 0; j < tiles; j++)
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int row = warpOfBlock() * 16 + i / 2 * 8 + laneOfWarp() / 4, column = firstColumn + j * 8 + laneOfWarp() % 4 * 2 + i % 2;
      float sum = 0;
#pragma unroll 1
      for (int k = 0; k < checkDepth; k++) sum += leftNumber(row, k) * rightNumber(k, column);
      right = right && sums[j].values[i] == sum;
    }
  return right;
}

/** Of a warp's rows, all numbers in registers: rows of slabs, or columns. */
using Lefts = Left[checkDepth / 16];
VWN_DEVICE void takeRows(const CheckRoom &room, Lefts &own) {
#pragma unroll
  for (int i = 0; i < checkDepth / 16; i++) own[i] = leftOfSlabs(room.leftRows, checkRows, warpOfBlock() * 16, i * 16);
}
VWN_DEVICE void takeColumns(const CheckRoom &room, int group, Lefts &own) {
#pragma unroll
  for (int i = 0; i < checkDepth / 16; i++)
    own[i] = leftOfSlabsTransposed(room.leftColumns, checkRows, group * checkDepth + i * 16, warpOfBlock() % 4 * 16);
}

/** By right factors that lie by rows, the last ones of 128. */
template <int tiles>
VWN_DEVICE bool areRightByRows(const CheckRoom &room, int group) {
  const int first = checkColumns - 8 * tiles;
  const bf16 *left = room.leftRows + group * groupRows * slabColumns, *right = room.rightRows + first * slabColumns;
  const bf16 *columns = room.leftColumns + group * checkDepth * slabColumns;
  Lefts own;
  takeRows(room, own);
  const bool ofRows = areRight<tiles>(
      first, [&](int k, Sum(&sums)[tiles]) { multiplyGroup(sums, factorOfRows(left + k), factorOfRows(right + k), k > 0); });
  const bool ofColumns = areRight<tiles>(first, [&](int k, Sum(&sums)[tiles]) {
    multiplyGroup(sums, factorOfColumns(columns + k * slabColumns, 0), factorOfRows(right + k), k > 0);
  });
  const bool ofRegisters = areRight<tiles>(
      first, [&](int k, Sum(&sums)[tiles]) { multiplyGroup(sums, own[k / 16], factorOfRows(right + k), k > 0); });
  return ofRows && ofColumns && ofRegisters;
}
/** By right factors that lie by columns, of one slab or two. */
template <int tiles>
VWN_DEVICE bool areRightByColumns(const CheckRoom &room, int group) {
  const auto right = [&](int k) { return factorOfColumns(room.rightColumns + k * slabColumns, checkDepth * slabColumns); };
  const bf16 *rows = room.leftRows + group * groupRows * slabColumns, *columns = room.leftColumns + group * checkDepth * slabColumns;
  Lefts own;
  takeColumns(room, group, own);
  const bool ofRows =
      areRight<tiles>(0, [&](int k, Sum(&sums)[tiles]) { multiplyGroup(sums, factorOfRows(rows + k), right(k), k > 0); });
  const bool ofColumns = areRight<tiles>(
      0, [&](int k, Sum(&sums)[tiles]) { multiplyGroup(sums, factorOfColumns(columns + k * slabColumns, 0), right(k), k > 0); });
  const bool ofRegisters =
      areRight<tiles>(0, [&](int k, Sum(&sums)[tiles]) { multiplyGroup(sums, own[k / 16], right(k), k > 0); });
  return ofRows && ofColumns && ofRegisters;
}

/** A block of two groups, 64 KiB of shared memory. */
VWN_DEVICE void warpgroupCheck(int32_t *wrong) {
  VWN_SHARED_SLABS(shared);
  const CheckRoom room(shared);
  const int group = groupOfBlock();
  room.fill();
  const bool right = areRightByRows<1>(room, group) & areRightByRows<4>(room, group) & areRightByRows<5>(room, group) &
                     areRightByRows<8>(room, group) & areRightByRows<9>(room, group) & areRightByRows<16>(room, group) &
                     areRightByColumns<8>(room, group) & areRightByColumns<16>(room, group);
  if (!right) tell(wrong);
}

/** Two blocks, which show each other as many numbers as they have threads, again and again. */
VWN_DEVICE void clusterCheck(int32_t *wrong) {
  VWN_SHARED(float, room);
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x), other = 1 - rankInCluster();
  bool right = true;
  for (int turn = 0; turn < 8; turn++) {
    putInOther(room + thread, static_cast<float>(turn * 2 + rankInCluster()) * threads + thread);
    arriveInCluster();
    awaitCluster();
    const int from = (thread + 33) % threads;
    right = right && room[from] == static_cast<float>(turn * 2 + other) * threads + from;
    arriveInCluster();
    awaitCluster();
  }
  if (!right) tell(wrong);
}

/** Each block adds one to 1024 sums. `turns` is zero. */
VWN_DEVICE void turnCheck(int32_t *wrong, uint32_t *turns, float *sums) {
  const uint32_t turn = blockIdx.x;
  float *own = sums + threadIdx.x * 4;
  const Sum ones{{1, 1, 1, 1}};
  if (turn == 0) {
    putInTurn(own, ones);
  } else {
    awaitTurn(turns, turn, wrong);
    const Sum before = takeInTurn(own);
    bool right = true;
#pragma unroll
    for (int i = 0; i < 4; i++) right = right && before.values[i] == static_cast<float>(turn);
    if (!right) tell(wrong);
    addInTurn(own, ones);
  }
  __syncthreads();
  if (threadIdx.x == 0) passTurn(turns, turn + 1);
}
#endif
extern "C" __global__ void __launch_bounds__(256, 1) warpgroupCheck_f32(int32_t *wrong)
    VWN_BODY_BY_WARPGROUPS(warpgroupCheck(wrong))
VWN_REGISTER(warpgroupCheck_f32)
extern "C" __global__ void __launch_bounds__(256, 1) VWN_IN_CLUSTERS clusterCheck_f32(int32_t *wrong)
    VWN_BODY_BY_WARPGROUPS(clusterCheck(wrong))
VWN_REGISTER_IN_CLUSTERS(clusterCheck_f32)
extern "C" __global__ void __launch_bounds__(256, 1) turnCheck_f32(int32_t *wrong, uint32_t *turns, float *sums)
    VWN_BODY_BY_WARPGROUPS(turnCheck(wrong, turns, sums))
VWN_REGISTER(turnCheck_f32)

}  // namespace
}  // namespace cuda
}  // namespace vwn
