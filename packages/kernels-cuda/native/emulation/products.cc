/**
 * Products of matrices by a warpgroup, as wgmma makes them: whatever a descriptor names in shared memory is read when products
 * are waited for, and until then there is NaN in the sums. A GPU may read at any time from when they are asked for, so that what
 * changes meanwhile is an error; and so are warps of a group that ask for different products.
 */
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
constexpr unsigned groupThreads = 128;
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

/** Each thread of the group answers for the chunks of a factor that it would read if they were shared out: body(chunk). */
template <class Body>
void forOwnChunks(const SharedFactor &factor, int count, const Body &body) {
  const Place place(factor);
  const uint64_t thread = running.thread.x % groupThreads, rows = static_cast<uint64_t>(factor.isTransposed ? count / 8 : count);
  for (uint64_t chunk = thread; chunk < static_cast<uint64_t>(count) * 2; chunk += groupThreads) {
    const uint64_t i = chunk % rows * (factor.isTransposed ? 8 : 1), k = chunk / rows * (factor.isTransposed ? 1 : 8);
    body(static_cast<const char *>(sharedMemory()) + placeOf(place, factor.isTransposed, i, k));
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

/** What one instruction of a group says, the same in all its warps. */
struct Asked {
  int columns;
  bool isInRegisters, adds;
  SharedFactor a, b;

  bool operator==(const Asked &) const = default;
};

struct Product {
  Asked asked;
  float *sums;
  const void *where;
  uint32_t words[4][4];
  /** What was in the sums, where nothing was pending for them; and in the chunks that this thread answers for. */
  std::vector<float> before;
  std::vector<char> chunks;

  template <class Body>
  void forOwnChunksOfBoth(const void *noteAs, const Body &body) const {
    const auto noted = [&](const char *chunk) {
      watch::noteReadBehindFence(chunk, chunkBytes, noteAs);
      body(chunk);
    };
    if (!asked.isInRegisters) forOwnChunks(asked.a, rowsOfGroup, noted);
    forOwnChunks(asked.b, asked.columns, noted);
  }
  void keepChunks() {
    forOwnChunksOfBoth(nullptr, [&](const char *chunk) { chunks.insert(chunks.end(), chunk, chunk + chunkBytes); });
  }
  void checkChunks() const {
    const char *kept = chunks.data();
    forOwnChunksOfBoth(where, [&](const char *chunk) {
      if (std::memcmp(chunk, kept, chunkBytes) != 0) throw std::runtime_error("wgmma reads what changes before it is waited for");
      kept += chunkBytes;
    });
  }
};

/** Of a thread of the block that runs: products that are pending for which sums, and how many it has asked for. */
struct Thread {
  std::map<const float *, int> pending;
  size_t asked = 0;
  bool hasBegun = false;
};
struct Block {
  uint64_t number = 0; /* of its cluster */
  std::vector<Thread> threads;
  /** What each group has asked for, in order. */
  std::vector<std::vector<Asked>> asked;
};

Block &blockNow() {
  static std::vector<Block> ofCluster;
  if (ofCluster.size() <= running.rank) ofCluster.resize(running.rank + 1);
  Block &now = ofCluster[running.rank];
  if (now.number != clustersBegun()) now = {clustersBegun(), {}, {}};
  now.threads.resize(running.threads.x);
  now.asked.resize((running.threads.x + groupThreads - 1) / groupThreads);
  return now;
}
Thread &threadNow() { return blockNow().threads[running.thread.x]; }

void compareWithGroup(const Asked &product) {
  std::vector<Asked> &asked = blockNow().asked[running.thread.x / groupThreads];
  const size_t number = threadNow().asked++;
  if (number == asked.size()) asked.push_back(product);
  else if (asked[number] != product) throw std::runtime_error("warps of a group ask wgmma for different products");
}

void make(const Product &product) {
  auto &pending = threadNow().pending;
  if (--pending[product.sums] == 0) pending.erase(product.sums);
  product.checkChunks();
  const uint64_t lane = running.thread.x % 32, warp = running.thread.x / 32 % 4, g = warp * 16 + lane / 4;
  Row rows[2];
  if (product.asked.isInRegisters) {
    readWords(product.words, rows);
  } else {
    readRow(product.asked.a, g, rows[0]), readRow(product.asked.a, g + 8, rows[1]);
  }
  if (!product.before.empty()) std::memcpy(product.sums, product.before.data(), product.before.size() * sizeof(float));
  for (int j = 0; j < product.asked.columns / 8; j++)
    for (int i = 0; i < 2; i++) {
      Row column;
      readRow(product.asked.b, static_cast<uint64_t>(j * 8 + i) + lane % 4 * 2, column);
      for (int half = 0; half < 2; half++) {
        float &sum = product.sums[j * 4 + half * 2 + i];
        if (!product.asked.adds) sum = 0;
        for (int k = 0; k < depth; k++) sum += rows[half][k] * column[k];
      }
    }
}

}  // namespace

uint64_t placeInShared(const void *at) {
  return static_cast<uint64_t>(static_cast<const char *>(at) - static_cast<const char *>(sharedMemory()));
}

void beginProducts() { threadNow().hasBegun = true; }
void commitProducts() { commitWorks(); }
void awaitProducts(int pending) {
  threadNow().hasBegun = false;
  awaitWorks(pending);
}
void fenceForProducts() { watch::fence(); }

void multiplyLater(float *sums, int columns, const uint32_t *left, const SharedFactor &a, const SharedFactor &b, bool adds) {
  if (b.isTransposed && columns % 64 != 0) throw std::runtime_error("a right factor by columns must have whole slabs of 64");
  Product product{{columns, left != nullptr, adds, a, b}, sums, __builtin_return_address(0), {}, {}, {}};
  if (!threadNow().hasBegun) throw std::runtime_error("wgmma needs a wgmma.fence before it, and again behind what was waited for");
  compareWithGroup(product.asked);
  if (left) {
    share(left, sizeof product.words[0]);
    for (unsigned i = 0; i < 4; i++) std::memcpy(product.words[i], sharedBy(running.thread.x % 32 / 4 * 4 + i), sizeof product.words[i]);
  }
  product.keepChunks();
  if (threadNow().pending[sums]++ == 0) {
    product.before.assign(sums, sums + columns / 2);
    for (int i = 0; i < columns / 2; i++) sums[i] = std::numeric_limits<float>::quiet_NaN();
  }
  doLater([product = std::move(product)] { make(product); });
}

}  // namespace emulation
}  // namespace vwn
