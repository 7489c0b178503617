/**
 * Products of matrices by a warpgroup, as wgmma makes them: whatever a descriptor names in shared memory is read when products
 * are waited for, and until then there is NaN in the sums.
 */
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <stdexcept>
#include <vector>

#include "cuda.h"
#include "fibres.h"
#include "watch.h"

namespace vwn {
namespace emulation {
namespace {

constexpr int depth = 16, rowsOfGroup = 64;
constexpr uint64_t chunkBytes = 16, rowBytes = 128, slabBytes = 1024;

/** A descriptor's fields; only slabs whose chunks change places by 128 bytes are known here. */
struct Place {
  uint64_t start, apart, eightRows;

  explicit Place(const SharedFactor &factor) {
    const auto field = [&](int bit) { return (factor.descriptor >> bit & 0x3fff) << 4; };
    start = field(0), apart = field(16), eightRows = field(32);
    const bool isOfSlab = factor.isTransposed ? start % slabBytes == 0 : start % slabBytes < rowBytes && start % 32 == 0;
    if (factor.descriptor >> 62 != 1 || !isOfSlab) throw std::runtime_error("wgmma needs slabs that begin on 1024 bytes");
  }
};

/** Of a left factor's row, or a right one's column, `i`, number k: bytes from the beginning of shared memory. */
uint64_t placeOf(const Place &place, bool isTransposed, uint64_t i, uint64_t k) {
  const uint64_t inSlab = isTransposed ? i / 64 * place.apart + i % 64 * 2 + k / 8 * place.eightRows + k % 8 * rowBytes
                                       : i / 8 * place.eightRows + i % 8 * rowBytes + k * 2;
  const uint64_t at = place.start + inSlab;
  return at ^ (at / rowBytes % 8 * chunkBytes);
}

float numberAt(uint64_t at) {
  uint16_t half;
  std::memcpy(&half, static_cast<const char *>(sharedMemory()) + at, 2);
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float number;
  std::memcpy(&number, &bits, 4);
  return number;
}

using Row = float[depth];
void readRow(const SharedFactor &factor, uint64_t i, Row &to) {
  const Place place(factor);
  for (uint64_t k = 0; k < depth; k++) to[k] = numberAt(placeOf(place, factor.isTransposed, i, k));
}

/** Each thread of the group answers for the chunks of a factor that it would read if they were shared out. */
void noteReads(const SharedFactor &factor, int count, const void *where) {
  const Place place(factor);
  const uint64_t thread = running.thread.x % 128, rows = static_cast<uint64_t>(factor.isTransposed ? count / 8 : count);
  for (uint64_t chunk = thread; chunk < static_cast<uint64_t>(count) * 2; chunk += 128) {
    const uint64_t i = chunk % rows * (factor.isTransposed ? 8 : 1), k = chunk / rows * (factor.isTransposed ? 1 : 8);
    const uint64_t at = placeOf(place, factor.isTransposed, i, k);
    watch::noteReadBehindFence(static_cast<const char *>(sharedMemory()) + at, chunkBytes, where);
  }
}

/** The words of the four lanes that have rows g and g + 8 of a left factor between them. */
void readWords(const uint32_t (&words)[4][4], Row (&rows)[2]) {
  for (int half = 0; half < 2; half++)
    for (int k = 0; k < depth; k++) {
      const uint32_t word = words[k % 8 / 2][2 * (k / 8) + half];
      const uint32_t bits = k % 2 ? word & 0xffff0000u : word << 16;
      std::memcpy(&rows[half][k], &bits, 4);
    }
}

struct Product {
  float *sums;
  int columns;
  bool isInRegisters, adds;
  uint32_t words[4][4];
  SharedFactor a, b;
  /** What was in the sums, where nothing was pending for them. */
  std::vector<float> before;
  const void *where;
};

/** How many products are pending for which sums, in a thread of the block that runs. */
std::map<const float *, int> &pendingOf(unsigned thread) {
  static std::vector<std::map<const float *, int>> all;
  static uint64_t block = 0;
  if (block != blocksBegun()) all.clear();
  block = blocksBegun();
  if (all.size() <= thread) all.resize(thread + 1);
  return all[thread];
}

void make(const Product &product) {
  auto &pending = pendingOf(running.thread.x);
  if (--pending[product.sums] == 0) pending.erase(product.sums);
  const uint64_t lane = running.thread.x % 32, warp = running.thread.x / 32 % 4, g = warp * 16 + lane / 4;
  Row rows[2];
  if (product.isInRegisters) {
    readWords(product.words, rows);
  } else {
    readRow(product.a, g, rows[0]), readRow(product.a, g + 8, rows[1]);
    noteReads(product.a, rowsOfGroup, product.where);
  }
  noteReads(product.b, product.columns, product.where);
  if (!product.before.empty()) std::memcpy(product.sums, product.before.data(), product.before.size() * sizeof(float));
  for (int j = 0; j < product.columns / 8; j++)
    for (int i = 0; i < 2; i++) {
      Row column;
      readRow(product.b, static_cast<uint64_t>(j * 8 + i) + lane % 4 * 2, column);
      for (int half = 0; half < 2; half++) {
        float &sum = product.sums[j * 4 + half * 2 + i];
        if (!product.adds) sum = 0;
        for (int k = 0; k < depth; k++) sum += rows[half][k] * column[k];
      }
    }
}

}  // namespace

uint64_t placeInShared(const void *at) {
  return static_cast<uint64_t>(static_cast<const char *>(at) - static_cast<const char *>(sharedMemory()));
}

void beginProducts() {}
void commitProducts() { commitWorks(); }
void awaitProducts(int pending) { awaitWorks(pending); }
void fenceForProducts() { watch::fence(); }

void multiplyLater(float *sums, int columns, const uint32_t *left, const SharedFactor &a, const SharedFactor &b, bool adds) {
  Product product{sums, columns, left != nullptr, adds, {}, a, b, {}, __builtin_return_address(0)};
  if (left) {
    share(left, sizeof product.words[0]);
    for (unsigned i = 0; i < 4; i++) std::memcpy(product.words[i], sharedBy(running.thread.x % 32 / 4 * 4 + i), sizeof product.words[i]);
  }
  if (pendingOf(running.thread.x)[sums]++ == 0) {
    product.before.assign(sums, sums + columns / 2);
    for (int i = 0; i < columns / 2; i++) sums[i] = std::numeric_limits<float>::quiet_NaN();
  }
  doLater([product = std::move(product)] { make(product); });
}

}  // namespace emulation
}  // namespace vwn
