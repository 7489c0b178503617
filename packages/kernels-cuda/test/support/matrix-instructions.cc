/** Matrix instructions against plain loops, with matrices placed by the ISA's formulas as they are written there. */
#include "../interpreter/matrix-instructions.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

using namespace vwn::ptx;
namespace {
#define CHECK(condition) \
  (condition) ? void() : (std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition), std::exit(1))

std::mt19937 generator(1);
uint16_t randomElement() {
  const float value = std::uniform_real_distribution<float>(-4, 4)(generator);
  return static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16);
}
float floatOf(uint16_t element) { return std::bit_cast<float>(static_cast<uint32_t>(element) << 16); }

/** [rows][columns] of bf16. */
struct Matrix {
  int rows, columns;
  std::vector<uint16_t> elements;
  Matrix(int rows, int columns) : rows(rows), columns(columns), elements(rows * columns) {
    for (auto &element : elements) element = randomElement();
  }
  uint16_t at(int row, int column) const { return elements[row * columns + column]; }
};

/** c + a·b in order of k, over 16 of the depth from `from` on. b is [columns][depth]. */
float product(float c, const Matrix &a, const Matrix &b, int row, int column, int from, float sign = 1) {
  for (int k = from; k < from + 16; k++) c += sign * floatOf(a.at(row, k)) * floatOf(b.at(column, k));
  return c;
}

bool same(float x, float y) { return std::bit_cast<uint32_t>(x) == std::bit_cast<uint32_t>(y); }

/** The conditions of 9.7.14.5.8 for element i of a lane's fragment. */
int rowOfA(int lane, int i) { return i < 2 || (4 <= i && i < 6) ? lane >> 2 : (lane >> 2) + 8; }
int depthOfA(int lane, int i) { return lane % 4 * 2 + (i & 1) + (i >= 4 ? 8 : 0); }
int depthOfB(int lane, int i) { return lane % 4 * 2 + (i & 1) + (i >= 2 ? 8 : 0); }
int rowOfD(int lane, int i) { return i < 2 ? lane >> 2 : (lane >> 2) + 8; }
int columnOfD(int lane, int i) { return lane % 4 * 2 + (i & 1); }

void testMultiplyOfWarp() {
  const Matrix a(16, 16), b(8, 16);
  uint32_t aRegisters[4][32] = {}, bRegisters[2][32] = {};
  float c[4][32], d[4][32];
  for (int lane = 0; lane < 32; lane++) {
    for (int i = 0; i < 8; i++)
      aRegisters[i / 2][lane] |= static_cast<uint32_t>(a.at(rowOfA(lane, i), depthOfA(lane, i))) << 16 * (i % 2);
    for (int i = 0; i < 4; i++)
      bRegisters[i / 2][lane] |= static_cast<uint32_t>(b.at(lane >> 2, depthOfB(lane, i))) << 16 * (i % 2);
    for (int i = 0; i < 4; i++) c[i][lane] = floatOf(randomElement());
  }
  multiplyOfWarp(d, aRegisters, bRegisters, c);
  for (int lane = 0; lane < 32; lane++)
    for (int i = 0; i < 4; i++)
      CHECK(same(d[i][lane], product(c[i][lane], a, b, rowOfD(lane, i), columnOfD(lane, i), 0)));
  multiplyOfWarp(c, aRegisters, bRegisters, c);
  CHECK(!std::memcmp(c, d, sizeof d));
}

void testLoadMatrices() {
  for (int count : {1, 2, 4})
    for (bool transposed : {false, true}) {
      const Matrix matrices(8 * count, 8);
      const unsigned char *rows[32] = {};
      for (int row = 0; row < 8 * count; row++)
        rows[row] = reinterpret_cast<const unsigned char *>(&matrices.elements[8 * row]);
      uint32_t to[4][32];
      std::memset(to, 0xab, sizeof to);
      loadMatrices(to, rows, count, transposed);
      for (int i = 0; i < 4; i++)
        for (int lane = 0; lane < 32; lane++) {
          const int outer = lane / 4, inner = lane % 4 * 2, first = 8 * i;
          if (i >= count) CHECK(to[i][lane] == 0xabababab);
          else if (transposed)
            CHECK((to[i][lane] & 0xffff) == matrices.at(first + inner, outer) &&
                  to[i][lane] >> 16 == matrices.at(first + inner + 1, outer));
          else
            CHECK((to[i][lane] & 0xffff) == matrices.at(first + outer, inner) &&
                  to[i][lane] >> 16 == matrices.at(first + outer, inner + 1));
        }
    }
}

/** The way kernels use both: A row-major by x4, B [k][n] row-major by x2.trans. */
void testLoadedMatricesMultiply() {
  const Matrix a(16, 16), bByDepth(16, 8);
  Matrix b(8, 16);
  for (int k = 0; k < 16; k++)
    for (int column = 0; column < 8; column++) b.elements[16 * column + k] = bByDepth.at(k, column);
  const unsigned char *aRows[32], *bRows[32] = {};
  for (int lane = 0; lane < 32; lane++)
    aRows[lane] = reinterpret_cast<const unsigned char *>(&a.elements[lane % 16 * 16 + lane / 16 * 8]);
  for (int lane = 0; lane < 16; lane++)
    bRows[lane] = reinterpret_cast<const unsigned char *>(&bByDepth.elements[8 * lane]);
  uint32_t aRegisters[4][32], bLoaded[4][32], bRegisters[2][32];
  loadMatrices(aRegisters, aRows, 4, false);
  loadMatrices(bLoaded, bRows, 2, true);
  std::memcpy(bRegisters, bLoaded, sizeof bRegisters);
  float c[4][32] = {}, d[4][32];
  multiplyOfWarp(d, aRegisters, bRegisters, c);
  for (int lane = 0; lane < 32; lane++)
    for (int i = 0; i < 4; i++) CHECK(same(d[i][lane], product(0, a, b, rowOfD(lane, i), columnOfD(lane, i), 0)));
}

constexpr int lineOfMode[] = {0, 128, 64, 32};

uint64_t descriptorOf(uint32_t start, uint32_t leading, uint32_t stride, int mode, uint64_t base = 0) {
  return (start & 0x3ffff) >> 4 | static_cast<uint64_t>((leading & 0x3ffff) >> 4) << 16 |
         static_cast<uint64_t>((stride & 0x3ffff) >> 4) << 32 | base << 49 | static_cast<uint64_t>(mode) << 62;
}

/**
 * The table of the CUDA programming guide: with y the line of 128 bytes and x the cell of 16 in it, both from the
 * begin of the pattern, smem[y][x] lies at smem[y][(y % repeats) ^ x].
 */
uint32_t swizzled(uint32_t address, int mode, uint32_t pattern) {
  constexpr uint32_t repeats[] = {1, 8, 4, 2};
  const uint32_t from = address - pattern, y = from / 128, x = from % 128 / 16;
  return pattern + y * 128 + (y % repeats[mode] ^ x) * 16 + from % 16;
}

/** How a matrix of rows [mn][depth] lies in shared memory, said without a descriptor's LBO and SBO. */
struct Place {
  int mode;
  bool transposed;
  uint32_t start;
  /** Bytes from one atom to the next along MN and along K. An atom is 8 lines along the minor dimension. */
  uint32_t alongMN, alongK;
  /** Where the pattern begins: a multiple of 1024, or of 128 with a base offset. */
  uint32_t pattern = 0;

  uint32_t addressOf(int mn, int k) const {
    const int line = mode ? lineOfMode[mode] : 16, elements = line / 2;
    const int major = transposed ? mn : k, minor = transposed ? k : mn;
    const uint32_t within = minor % 8 * line + major % elements * 2;
    const uint32_t majorStep = transposed ? alongMN : alongK, minorStep = transposed ? alongK : alongMN;
    return swizzled(start + within + major / elements * majorStep + minor / 8 * minorStep, mode, pattern);
  }
  /** Sections 9.7.15.5.1.2.1.1 and .2 (the table of strides), for 16 of the depth from k on. */
  uint64_t descriptor(int k) const {
    const int line = mode ? lineOfMode[mode] : 16;
    const uint64_t base = pattern >> 7 & 7;
    if (transposed)
      return mode ? descriptorOf(start + k / 8 * alongK, alongMN, alongK, mode, base)
                  : descriptorOf(start + k / 8 * alongK, alongK, alongMN, mode);
    const uint32_t at = start + k * 2 / line * alongK + k * 2 % line;
    return mode ? descriptorOf(at, 16, alongMN, mode, base) : descriptorOf(at, alongK, alongMN, mode);
  }
};

struct Window {
  std::vector<unsigned char> bytes;
  explicit Window(size_t size) : bytes(size) {
    for (auto &byte : bytes) byte = static_cast<unsigned char>(generator());
  }
  void put(const Matrix &matrix, const Place &place) {
    for (int row = 0; row < matrix.rows; row++)
      for (int k = 0; k < matrix.columns; k++) {
        const uint32_t address = place.addressOf(row, k);
        CHECK(address + 2 <= bytes.size());
        const uint16_t element = matrix.at(row, k);
        std::memcpy(&bytes[address], &element, 2);
      }
  }
  SharedMemory memory() const { return {bytes.data(), bytes.size()}; }
};

/** A place whose atoms follow each other along K, then along MN, with `gap` bytes between. */
Place placed(int mode, bool transposed, uint32_t start, int extent, int depth, uint32_t gap) {
  const int line = mode ? lineOfMode[mode] : 16;
  const uint32_t atom = 8 * line + gap, atoms = ((transposed ? extent : depth) * 2 + line - 1) / line;
  Place place{mode, transposed, start, 0, 0};
  (transposed ? place.alongMN : place.alongK) = atom;
  (transposed ? place.alongK : place.alongMN) = atom * atoms + gap;
  return place;
}

struct Sums {
  std::unique_ptr<float[][128]> values{new float[128][128]};
  Sums() {
    for (int i = 0; i < 128; i++)
      for (int lane = 0; lane < 128; lane++) values[i][lane] = floatOf(randomElement());
  }
};

/** Figure 149, by CUTLASS's CLayout_64xN: ((4,8,4),(2,2,N/8)) : ((128,1,16),(64,8,512)), column-major 64 x N. */
void checkSums(const Sums &d, const Sums &c, bool adds, float sign, const Matrix &a, const Matrix &b, int from) {
  for (int lane = 0; lane < 128; lane++)
    for (int i = 0; i < 128; i++) {
      const int at = lane % 4 * 128 + lane / 4 % 8 + lane / 32 * 16 + i % 2 * 64 + i / 2 % 2 * 8 + i / 4 * 512;
      const int row = at % 64, column = at / 64;
      const float before = c.values[i][lane], first = adds ? before : 0;
      CHECK(same(d.values[i][lane], column < b.rows ? product(first, a, b, row, column, from, sign) : before));
    }
}

void copySums(Sums &to, const Sums &from) {
  std::memcpy(to.values.get(), from.values.get(), 128 * 128 * sizeof(float));
}

/** ALayout_64x16 of CUTLASS: ((4,8,4),(2,2,2)) : ((128,1,16),(64,8,512)), column-major 64 x 16. */
void fillRegisters(uint32_t (&registers)[4][128], const Matrix &a, int from) {
  std::memset(registers, 0, sizeof registers);
  for (int lane = 0; lane < 128; lane++)
    for (int i = 0; i < 8; i++) {
      const int at = lane % 4 * 128 + lane / 4 % 8 + lane / 32 * 16 + i % 2 * 64 + i / 2 % 2 * 8 + i / 4 * 512;
      registers[i / 2][lane] |= static_cast<uint32_t>(a.at(at % 64, from + at / 64)) << 16 * (i % 2);
    }
}

/** Runs the four steps along a depth of 64 and checks each. */
void checkGroup(const Place *aPlace, const Place &bPlace, int columns) {
  constexpr int depth = 64;
  const Matrix a(64, depth), b(columns, depth);
  Window window(227 * 1024);
  window.put(b, bPlace);
  if (aPlace) window.put(a, *aPlace);
  for (int k = 0; k < depth; k += 16) {
    GroupOperands operands{};
    operands.columns = columns;
    operands.aInRegisters = !aPlace;
    fillRegisters(operands.a, a, k);
    if (aPlace) operands.aDescriptor = aPlace->descriptor(k), operands.aTransposed = aPlace->transposed;
    operands.bDescriptor = bPlace.descriptor(k), operands.bTransposed = bPlace.transposed;
    operands.addsToSums = generator() & 1, operands.negateA = generator() & 1, operands.negateB = generator() & 1;
    Sums before, sums;
    copySums(sums, before);
    multiplyOfGroup(sums.values.get(), operands, window.memory());
    checkSums(sums, before, operands.addsToSums, operands.negateA != operands.negateB ? -1 : 1, a, b, k);
  }
}

void testEveryLayoutOfB() {
  for (int mode = 0; mode < 4; mode++)
    for (bool transposed : {false, true})
      for (int columns = 8; columns <= 256; columns += 8)
        checkGroup(nullptr, placed(mode, transposed, 4096, columns, 64, mode % 2 ? 0 : 256), columns);
}

void testEveryLayoutOfBoth() {
  for (int modes = 0; modes < 16; modes++)
    for (int majors = 0; majors < 4; majors++) {
      const Place a = placed(modes / 4, majors & 1, 1024, 64, 64, 0);
      checkGroup(&a, placed(modes % 4, majors & 2, 65536, 96, 64, 1024), 96);
    }
}

/** Strides and starts of 128 bytes that keep no phase of the pattern: the XOR goes by the address. */
void testSwizzleGoesByAddress() {
  for (int mode = 0; mode < 4; mode++)
    for (bool transposed : {false, true})
      for (uint32_t lines = 0; lines < 8; lines++) {
        checkGroup(nullptr, placed(mode, transposed, 65536 + 128 * lines, 80, 64, 128 * (lines % 3)), 80);
      }
}

void testPatternBeginsAtBaseOffset() {
  for (int mode = 1; mode < 4; mode++)
    for (bool transposed : {false, true})
      for (uint32_t lines = 1; lines < 8; lines++) {
        Place b = placed(mode, transposed, 2048 + 128 * lines, 80, 64, 0);
        b.pattern = b.start;
        checkGroup(nullptr, b, 80);
      }
}

/**
 * The examples of 9.7.15.5.1.2.1.3, by their exact layouts: offsets of elements, Swizzle<bits,4,3> on bytes. Figure
 * 166 is of tf32: its cells of 16 bytes hold 8 bf16 here, and its 4 cells of depth are two instructions.
 */
void testExamplesOfTheIsa() {
  struct Example {
    int mode, bits, columns, depth;
    bool transposed;
    uint32_t leading, stride;
    std::function<uint32_t(int, int)> bytes;
  };
  const Example examples[] = {
      {0, 0, 16, 32, false, 16, 8, [](int n, int k) { return (n % 8 * 4 + n / 8 * 32 + k / 8 * 64) * 4 + k % 8 * 2; }},
      {0, 0, 16, 16, true, 16, 8, [](int n, int k) { return (n % 8 + n / 8 * 64 + k % 8 * 8 + k / 8 * 128) * 2; }},
      {3, 1, 32, 16, true, 16, 32,
       [](int n, int k) { return (n % 8 + n / 8 % 2 * 8 + n / 16 * 128 + k % 8 * 16 + k / 8 * 256) * 2; }},
      {2, 2, 64, 16, true, 32, 64,
       [](int n, int k) { return (n % 8 + n / 8 % 4 * 8 + n / 32 * 256 + k % 8 * 32 + k / 8 * 512) * 2; }},
  };
  for (const Example &example : examples) {
    const Matrix a(64, example.depth), b(example.columns, example.depth);
    Window window(8192);
    for (int n = 0; n < example.columns; n++)
      for (int k = 0; k < example.depth; k++) {
        uint32_t address = 1024 + example.bytes(n, k);
        address ^= (address & ((1u << example.bits) - 1) << 7) >> 3;
        const uint16_t element = b.at(n, k);
        std::memcpy(&window.bytes[address], &element, 2);
      }
    for (int k = 0; k < example.depth; k += 16) {
      GroupOperands operands{};
      operands.aInRegisters = true, operands.columns = example.columns, operands.bTransposed = example.transposed;
      fillRegisters(operands.a, a, k);
      const uint32_t start = 1024 + k / 8 * 256, leading = 16 * example.leading, stride = 16 * example.stride;
      operands.bDescriptor = descriptorOf(start, leading, stride, example.mode);
      Sums before, sums;
      copySums(sums, before);
      multiplyOfGroup(sums.values.get(), operands, window.memory());
      checkSums(sums, before, false, 1, a, b, k);
    }
  }
}

void throwsSaying(const std::string &words, const std::function<void()> &run) {
  try {
    run();
  } catch (const std::runtime_error &error) {
    if (std::string(error.what()).find(words) != std::string::npos) return;
    std::fprintf(stderr, "said: %s, not: %s\n", error.what(), words.c_str());
    std::exit(1);
  }
  std::fprintf(stderr, "did not throw: %s\n", words.c_str());
  std::exit(1);
}

void testRefusals() {
  Window window(8192);
  GroupOperands sound{};
  sound.aInRegisters = true, sound.columns = 64, sound.bDescriptor = descriptorOf(0, 16, 1024, 1);
  const auto refused = [&](const std::string &words, const std::function<void(GroupOperands &)> &change) {
    GroupOperands operands = sound;
    change(operands);
    Sums before, sums;
    copySums(sums, before);
    throwsSaying(words, [&] { multiplyOfGroup(sums.values.get(), operands, window.memory()); });
    CHECK(!std::memcmp(sums.values.get(), before.values.get(), 128 * 128 * sizeof(float)));
  };
  for (int bit : {14, 15, 30, 31, 46, 47, 48, 52, 57, 61})
    refused("reserved bits", [&](auto &operands) { operands.bDescriptor |= 1ull << bit; });
  refused("base offset 3 without", [](auto &operands) { operands.bDescriptor = descriptorOf(0, 128, 256, 0, 3); });
  refused("past the 8192 bytes", [](auto &operands) { operands.bDescriptor = descriptorOf(1024, 16, 1024, 1); });
  refused("past the 8192 bytes", [](auto &operands) { operands.bDescriptor = descriptorOf(0, 16, 1040, 1); });
  refused("descriptor of A", [](auto &operands) { operands.aInRegisters = false, operands.aDescriptor = 1 << 14; });
  refused("has to stay within the line", [](auto &operands) { operands.bDescriptor = descriptorOf(112, 16, 512, 1); });
  refused("has to stay within the line", [](auto &operands) { operands.bDescriptor = descriptorOf(16, 16, 256, 3); });
  refused("has to stay within the line", [](auto &operands) {
    operands.bDescriptor = descriptorOf(32, 1024, 2048, 1), operands.bTransposed = true;
  });
  refused("cannot be transposed", [](auto &operands) { operands.aTransposed = true; });
  for (int columns : {0, -8, 4, 12, 264}) refused("steps of 8", [&](auto &operands) { operands.columns = columns; });
  Sums sums;
  multiplyOfGroup(sums.values.get(), sound, window.memory());  // the last byte of the window is allowed
  uint32_t to[4][32];
  const unsigned char *rows[32] = {window.bytes.data()};
  throwsSaying("1, 2 or 4 matrices, not 3", [&] { loadMatrices(to, rows, 3, false); });
  throwsSaying("lane 1 brings no address", [&] { loadMatrices(to, rows, 1, false); });
}

/** Part of a line of MN-major columns may be taken: 16 of the 64 columns of a line, from the 32nd on. */
void testColumnsWithinALine() {
  const Matrix a(64, 16), b(64, 16);
  Window window(8192);
  const Place place = placed(1, true, 1024, 64, 16, 0);
  GroupOperands operands{};
  window.put(b, place);
  operands.aInRegisters = true, operands.columns = 16, operands.bTransposed = true;
  operands.bDescriptor = place.descriptor(0) + (32 * 2 >> 4);
  fillRegisters(operands.a, a, 0);
  Matrix part(16, 16);
  std::copy_n(&b.elements[32 * 16], 16 * 16, part.elements.begin());
  Sums before, sums;
  copySums(sums, before);
  multiplyOfGroup(sums.values.get(), operands, window.memory());
  checkSums(sums, before, false, 1, a, part, 0);
}

}  // namespace

int main() {
  testMultiplyOfWarp();
  testLoadMatrices();
  testLoadedMatricesMultiply();
  testEveryLayoutOfB();
  testEveryLayoutOfBoth();
  testSwizzleGoesByAddress();
  testPatternBeginsAtBaseOffset();
  testExamplesOfTheIsa();
  testColumnsWithinALine();
  testRefusals();
  std::puts("all as the plain loops say");
}
