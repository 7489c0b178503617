/** Kernels with the mistakes that emulation is to find; a line for each on stdout. */
#include <cmath>
#include <cstdio>

#include "cluster-kernels.h"
#include "device/turns.h"
#include "group-kernels.h"

namespace vwn {
namespace cuda {
namespace {

template <class T>
VWN_DEVICE void right(T *to) {
  VWN_SHARED(float, room);
  room[threadIdx.x] = static_cast<float>(threadIdx.x);
  __syncthreads();
  const float next = room[(threadIdx.x + 1) % blockDim.x];
  const float sum = blockSum(next, room + blockDim.x);
  if (threadIdx.x == 0) to[blockIdx.x] = sum;
}
VWN_SINGLE(right, (real *to), (to))

template <class T>
VWN_DEVICE void noBarrier(T *to) {
  VWN_SHARED(float, room);
  room[threadIdx.x] = static_cast<float>(threadIdx.x);
  const float next = room[(threadIdx.x + 1) % blockDim.x];
  const float sum = blockSum(next, room + blockDim.x);
  if (threadIdx.x == 0) to[blockIdx.x] = sum;
}
VWN_SINGLE(noBarrier, (real *to), (to))

template <class T>
VWN_DEVICE void unwritten(T *to) {
  VWN_SHARED(float, room);
  to[blockIdx.x] = room[threadIdx.x];
}
VWN_SINGLE(unwritten, (real *to), (to))

template <class T>
VWN_DEVICE void halfBarrier(T *to) {
  if (threadIdx.x < 40) __syncthreads();
  to[blockIdx.x] = 1;
}
VWN_SINGLE(halfBarrier, (real *to), (to))

template <class T>
VWN_DEVICE void halfShuffle(T *to) {
  to[blockIdx.x] = threadIdx.x % 2 ? warpSum(1) : 0;
}
VWN_SINGLE(halfShuffle, (real *to), (to))

/** Copies 16 bytes a thread into shared memory; reads them with and without having waited. */
template <class T>
VWN_DEVICE void copies(const T *from, T *to, int waits) {
  VWN_SHARED(float, room);
  float *own = room + 4 * threadIdx.x;
  copyAsync(own, from + 4 * threadIdx.x, threadIdx.x % 2 == 0);
  commitCopies();
  copyAsync(room + 4 * blockDim.x, from, true);
  commitCopies();
  if (waits) awaitCopies<1>();
  to[threadIdx.x] = own[3];
}
VWN_SINGLE(copies, (const real *from, real *to, int waits), (from, to, waits))

/** The product of two tiles by every way to load them: A·B and A·Bᵀ, [16, 16] by [16, 16], rows 24 apart. */
template <class T>
VWN_DEVICE void products(T *to, int offset) {
  VWN_SHARED(bf16, a);
  bf16 *b = a + 16 * 24;
  for (int i = threadIdx.x; i < 256; i += 32) {
    put(a[i / 16 * 24 + i % 16], static_cast<float>(i % 7) - 3);
    put(b[i / 16 * 24 + i % 16], static_cast<float>(i % 5) - 2);
  }
  __syncwarp();
  const Left left = leftAt(a + offset, 24);
  Right columns[2], rows[2];
  rightsAt(b, 24, columns);
  rightsOfRows(b, 24, rows);
  for (int half = 0; half < 2; half++) {
    Sum plain{}, transposed{};
    multiplyAdd(plain, left, columns[half]);
    multiplyAdd(transposed, left, rows[half]);
    for (int i = 0; i < 4; i++) {
      const int at = (laneOfWarp() / 4 + i / 2 * 8) * 16 + half * 8 + laneOfWarp() % 4 * 2 + i % 2;
      to[at] = plain.values[i];
      to[256 + at] = transposed.values[i];
    }
  }
}
VWN_SINGLE(products, (real *to, int offset), (to, offset))

/** Each block, of one warp, adds its number, from one on, to 128 sums, as if `late` more blocks stood before it. */
template <class T>
VWN_DEVICE void turns(T *sums, uint32_t *passed, int32_t *problem, uint32_t late) {
  const auto number = static_cast<float>(blockIdx.x + 1);
  const Sum sum{{number, number, number, number}};
  if (blockIdx.x + late > 0) awaitTurn(passed, blockIdx.x + late, problem);
  if (blockIdx.x == 0) putInTurn(sums + 4 * threadIdx.x, sum);
  else addInTurn(sums + 4 * threadIdx.x, sum);
  __syncthreads();
  if (threadIdx.x == 0) passTurn(passed, blockIdx.x + 1);
}
VWN_SINGLE(turns, (real *sums, uint32_t *passed, int32_t *problem, uint32_t late), (sums, passed, problem, late))

/** How many of the 512 numbers that `products` leaves are not those of two plain loops. */
int wrongProducts(const float *got) {
  int wrong = 0;
  for (int row = 0; row < 16; row++)
    for (int column = 0; column < 16; column++) {
      float plain = 0, transposed = 0;
      for (int k = 0; k < 16; k++) {
        const float a = static_cast<float>((row * 16 + k) % 7) - 3;
        plain += a * (static_cast<float>((k * 16 + column) % 5) - 2);
        transposed += a * (static_cast<float>((column * 16 + k) % 5) - 2);
      }
      wrong += got[row * 16 + column] != plain;
      wrong += got[256 + row * 16 + column] != transposed;
    }
  return wrong;
}

float ofGroups[leftRows * mostColumns];
/** How many of the sums of `groupProducts` are not those of a plain loop. */
int wrongOfGroups(int columns) {
  int wrong = 0;
  for (int row = 0; row < leftRows; row++)
    for (int column = 0; column < columns; column++) {
      int plain = 0;
      for (int k = 0; k < groupDepth; k++) plain += leftOfGroups(row, k) * rightOfGroups(k, column);
      wrong += ofGroups[row * mostColumns + column] != static_cast<float>(plain);
    }
  return wrong;
}

void reportGroupProducts(const std::string &title, int tiles, Lies left, Lies right, bool awaits) {
  report(title.c_str(), "groupProducts_f32", {1}, 256, groupSharedBytes, ofGroups + 0, tiles, left, right, awaits);
}

/** By every number of tiles that there is, whichever way the factors lie; read early; and mistakes. */
void reportGroups() {
  const char *lies[] = {"registers", "rows", "columns"};
  for (int tiles : {1, 4, 5, 8, 9, 16})
    for (Lies left : {Lies::inRegisters, Lies::asRows, Lies::asColumns})
      for (Lies right : {Lies::asRows, Lies::asColumns}) {
        if (right == Lies::asColumns && tiles % 8 != 0) continue;
        const std::string of = std::string(lies[static_cast<int>(left)]) + " by " + lies[static_cast<int>(right)];
        reportGroupProducts(of + ", " + std::to_string(tiles) + " tiles", tiles, left, right, true);
        std::printf("wrong %d\n", wrongOfGroups(8 * tiles));
      }
  reportGroupProducts("part of a slab by columns", 9, Lies::asRows, Lies::asColumns, true);
  reportGroupProducts("sums not awaited", 8, Lies::asRows, Lies::asRows, false);
  int numbers = 0;
  for (int i = 0; i < leftRows * mostColumns; i++) numbers += i % mostColumns < 64 && !std::isnan(ofGroups[i]);
  std::printf("numbers %d\n", numbers);
  reportMistake("odd factor", Mistake::oddFactor, ofGroups);
  reportMistake("no begin", Mistake::noBegin, ofGroups);
  reportMistake("a warp left out", Mistake::warpLeftOut, ofGroups);
  reportMistake("warps disagree", Mistake::warpsDisagree, ofGroups);
  reportMistake("overwritten while pending", Mistake::overwrittenWhilePending, ofGroups);
  reportMistake("overwritten behind a barrier", Mistake::overwrittenBehindBarrier, ofGroups);
}

}  // namespace
}  // namespace cuda
}  // namespace vwn

int main() {
  using namespace vwn::cuda;
  float to[2] = {};
  report("right", "right_f32", {2}, 64, 4096, static_cast<float *>(to));
  std::printf("sums %g %g\n", to[0], to[1]);
  report("no barrier", "noBarrier_f32", {2}, 64, 4096, static_cast<float *>(to));
  std::printf("sums %g %g\n", to[0], to[1]);
  report("unwritten", "unwritten_f32", {1}, 32, 4096, static_cast<float *>(to));
  std::printf("read %g\n", to[0]);
  report("half barrier", "halfBarrier_f32", {1}, 64, 0, static_cast<float *>(to));
  report("half shuffle", "halfShuffle_f32", {1}, 64, 0, static_cast<float *>(to));
  alignas(16) float from[256], copied[32], multiplied[512] = {};
  for (int i = 0; i < 256; i++) from[i] = static_cast<float>(i);
  const float *source = from;
  report("copies", "copies_f32", {1}, 32, 4096, source, copied + 0, 1);
  std::printf("read %g %g %g\n", copied[0], copied[1], copied[2]);
  report("copies not awaited", "copies_f32", {1}, 32, 4096, source, copied + 0, 0);
  std::printf("read %g %g %g\n", copied[0], copied[1], copied[2]);
  uint32_t passed = 0;
  int32_t problem = 0;
  report("turns", "turns_f32", {4}, 32, 0, multiplied + 0, &passed, &problem, 0u);
  std::printf("sums %g %g, problem %d\n", multiplied[0], multiplied[127], problem);
  passed = 0;
  report("a turn of a later block", "turns_f32", {4}, 32, 0, multiplied + 0, &passed, &problem, 1u);
  report("products", "products_f32", {1}, 32, 4096, multiplied + 0, 0);
  std::printf("wrong %d\n", wrongProducts(multiplied));
  report("odd row", "products_f32", {1}, 32, 4096, multiplied + 0, 1);
  report("odd copy", "copies_f32", {1}, 32, 4096, source + 1, copied + 0, 1);
  reportGroups();
  float met[256];
  reportMeeting("a cluster meets", Meeting::right, met);
  std::printf("shown %g %g %g %g\n", met[0], met[64], met[128 + 63], met[192]);
  reportMeeting("a block left out", Meeting::oneBlockLeftOut, met);
  reportMeeting("not come before", Meeting::notComeBefore, met);
  reportMeeting("not awaited", Meeting::notAwaited, met);
  report("half a cluster", "meet_f32", {3}, 64, 256, met + 0, 0);
  report("right again", "right_f32", {2}, 64, 4096, static_cast<float *>(to));
  report("other types", "right_f32", {1}, 64, 4096, static_cast<const float *>(to));
  report("missing", "left_f32", {1}, 64, 4096, static_cast<float *>(to));
  report("odd block", "right_f32", {1}, 33, 4096, static_cast<float *>(to));
  report("too much", "right_f32", {1}, 64, 1 << 20, static_cast<float *>(to));
}
