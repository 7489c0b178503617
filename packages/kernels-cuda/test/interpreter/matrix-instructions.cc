#include "matrix-instructions.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <sstream>
#include <stdexcept>
#include <string>

namespace vwn::ptx {
namespace {

/** The depth K of every instruction here. */
constexpr int depth = 16;
/** "Element types normalized to 128 bits" (9.7.15.5.1.2): a cell is the 16 bytes that no swizzle takes apart. */
constexpr uint32_t cellBytes = 16;
constexpr int cellElements = 8;
constexpr int cellsOfDepth = depth / cellElements;
constexpr int groupRows = 64, mostColumns = 256;

/** Eight rows of A, or eight columns of B: [k][row or column]. What both operands are decoded to. */
using Tile = float[depth][8];

static_assert(std::endian::native == std::endian::little, "shared memory of a GPU is little-endian");

float lowOf(uint32_t pair) { return std::bit_cast<float>(pair << 16); }

float highOf(uint32_t pair) { return std::bit_cast<float>(pair & 0xffff0000u); }

/** A row of sums at a time: extents known at compile time are what lets -O2 vectorize, and this keeps registers. */
void addProducts(float (&sums)[8][8], const Tile &a, const Tile &b) {
  for (int row = 0; row < 8; row++) {
    float line[8];
    std::memcpy(line, sums[row], sizeof line);
    for (int k = 0; k < depth; k++)
      for (int column = 0; column < 8; column++) line[column] += a[k][row] * b[k][column];
    std::memcpy(sums[row], line, sizeof line);
  }
}

/**
 * The fragments of m16n8k16 (9.7.14.5.8: figures and formulas of A, B and C), and of each warp of m64nNk16
 * (9.7.15.5.1.1.1: figures only; CUTLASS's ALayout_64x16 and CLayout_64xN agree with them). With
 * group = lane / 4 and member = lane % 4:
 *   A  register 2·h + half  row 8·half + group, k 8·h + 2·member and the next
 *   B  register h           column group,       k 8·h + 2·member and the next
 *   D  value 2·half + e     row 8·half + group, column 2·member + e
 * A tile is one half of the rows: `registers[h]` points at lane 0 of its register h of a warp.
 */
void decodeRegisters(Tile &tile, const uint32_t *const (&registers)[cellsOfDepth]) {
  for (int h = 0; h < cellsOfDepth; h++)
    for (int lane = 0; lane < 32; lane++) {
      const uint32_t pair = registers[h][lane];
      const int group = lane / 4, k = 8 * h + 2 * (lane % 4);
      tile[k][group] = lowOf(pair);
      tile[k + 1][group] = highOf(pair);
    }
}

/** D's values of one half of the rows of one warp: `values[e]` points at lane 0 of value 2·half + e. */
void loadSums(float (&sums)[8][8], const float *const (&values)[2]) {
  for (int group = 0; group < 8; group++)
    for (int member = 0; member < 4; member++)
      for (int e = 0; e < 2; e++) sums[group][2 * member + e] = values[e][4 * group + member];
}

void storeSums(float *const (&values)[2], const float (&sums)[8][8]) {
  for (int group = 0; group < 8; group++)
    for (int member = 0; member < 4; member++)
      for (int e = 0; e < 2; e++) values[e][4 * group + member] = sums[group][2 * member + e];
}

void negate(Tile *tiles, int count) {
  for (int tile = 0; tile < count; tile++)
    for (auto &line : tiles[tile])
      for (float &value : line) value = -value;
}

/** What a matrix descriptor says (9.7.15.5.1.2.2), in bytes. */
struct Descriptor {
  const char *matrix;
  uint32_t start, leadingOffset, strideOffset;
  /** Bytes of a line of the swizzle atom: 128, 64, 32, and 16 without a swizzle, where a line is one cell. */
  uint32_t lineBytes;
  /** Where in the 1024 bytes the pattern begins, in units of 128 bytes. */
  uint32_t baseOffset;

  bool swizzled() const { return lineBytes > cellBytes; }
  uint32_t lineCells() const { return lineBytes / cellBytes; }
};

[[noreturn]] void refuse(const char *matrix, const std::string &why) {
  throw std::runtime_error("wgmma.mma_async: the descriptor of " + std::string(matrix) + " " + why);
}

std::string inHexadecimal(uint64_t value) {
  std::ostringstream text;
  text << "0x" << std::hex << value;
  return text.str();
}

/**
 * The ISA names no meaning for the bits that it leaves out of its table, nor says that they are ignored. They are
 * refused here, as a descriptor that sets them was most likely made for tcgen05, whose swizzle field has three bits
 * and whose bit 46 is 1. The same goes for a base offset without a swizzle, which "is valid for all swizzling modes
 * except the no-swizzle mode". (CUTLASS's mma_sm90_desc.hpp calls it valid with 128 and 64 bytes only. The ISA's
 * table gives a boundary for 32 bytes too, so all three have it here.)
 */
Descriptor parse(uint64_t bits, const char *matrix) {
  constexpr uint64_t reserved = 0x3ffull << 52 | 0x7ull << 46 | 0x3ull << 30 | 0x3ull << 14;
  constexpr uint32_t lineOfMode[] = {16, 128, 64, 32};
  if (bits & reserved)
    refuse(matrix, "is " + inHexadecimal(bits) + ", which sets the reserved bits " + inHexadecimal(bits & reserved) +
                       "; clear bits 14-15, 30-31, 46-48 and 52-61");
  const auto decode = [bits](int from) { return static_cast<uint32_t>(bits >> from & 0x3fff) << 4; };
  const Descriptor descriptor{matrix,     decode(0), decode(16), decode(32), lineOfMode[bits >> 62],
                              static_cast<uint32_t>(bits >> 49 & 7)};
  if (!descriptor.swizzled() && descriptor.baseOffset)
    refuse(matrix, "has base offset " + std::to_string(descriptor.baseOffset) +
                       " without a swizzle; a base offset is for swizzled layouts");
  return descriptor;
}

/**
 * Where a cell of the matrix lies before the swizzle, from the start: the canonical layouts of 9.7.15.5.1.2.1.3, in
 * bytes, with T = 8 elements = one cell. Row `mn` of A (column of B), cell `cell` of its depth.
 *   none        ((8,m),(T,2k)) : ((1T,SBO),(1,LBO))
 *   32,64,128   ((8,m),(T,2k)) : ((line,SBO),(1,T))    LBO is "not used, assumed to be 1"
 * One instruction takes two cells, k = 1, as in CUTLASS's table. (The ISA's example of 32 bytes, figure 167, has
 * k = 2: four cells in a line of two, which would overlap the next line. It cannot be one instruction's.)
 */
uint32_t offsetKMajor(const Descriptor &layout, uint32_t mn, uint32_t cell) {
  return mn % 8 * layout.lineBytes + mn / 8 * layout.strideOffset +
         cell * (layout.swizzled() ? cellBytes : layout.leadingOffset);
}

/**
 * The same of M-major A and N-major B, for cell `cell` of the rows of A (columns of B) at depth `k`.
 *   none        ((T,1,m),(8,k)) : ((1,T,SBO),(1T,LBO))
 *   32,64,128   ((T,cells of a line,m),(8,k)) : ((1,T,LBO),(line,SBO))
 * LBO and SBO change places: without a swizzle SBO leads along MN and LBO along K, with one the other way round. The
 * strides' own sections (9.7.15.5.1.2.1.1 and .2), the examples of figures 168 to 170 and CUTLASS's make_gmma_desc
 * agree. Older editions of the ISA and the comment in mma_sm90_desc.hpp describe one meaning for all modes (LBO along
 * K and along MN, respectively); they are not followed.
 */
uint32_t offsetMNMajor(const Descriptor &layout, uint32_t cell, uint32_t k) {
  const uint32_t line = k % 8 * layout.lineBytes;
  if (!layout.swizzled()) return line + cell * layout.strideOffset + k / 8 * layout.leadingOffset;
  return line + cell % layout.lineCells() * cellBytes + cell / layout.lineCells() * layout.leadingOffset +
         k / 8 * layout.strideOffset;
}

/**
 * Swizzle<B,4,3> of the canonical layouts: bits 4.. of an address are XORed with its bits 7.., as many as a line's
 * cells need (3 of 128 bytes, 2 of 64, 1 of 32). CuTe applies it to the address ("Swizzle o smem_ptr o layout"), and
 * so does the engine that copies tensors (CUDA programming guide, "Swizzle pattern pointer offset computation":
 * lines count from (address / 128) % 8), so that a start that steps by 32 bytes along K within a line of 128 keeps
 * each line's own XOR.
 *
 * The pattern repeats from 1024, 512 and 256 byte boundaries, unless it begins elsewhere: then the base offset is
 * (address of the pattern's begin / 128) % 8. The ISA does not say what the hardware does with it. The only reading
 * by which a line's XOR depends on its place in the pattern is to count lines from that begin: to subtract.
 */
uint32_t swizzle(const Descriptor &layout, uint32_t address) {
  const uint32_t line = (address >> 7) - layout.baseOffset;
  return address ^ (line & (layout.lineCells() - 1)) << 4;
}

/** Bounds are looked at after the swizzle, which moves a cell within its 128 bytes only. */
const unsigned char *cellAt(const Descriptor &layout, uint32_t offset, SharedMemory shared) {
  const uint32_t address = swizzle(layout, layout.start + offset);
  if (address + cellBytes > shared.size)
    refuse(layout.matrix, "reads 16 bytes at shared address " + std::to_string(address) + ", past the " +
                              std::to_string(shared.size) + " bytes of shared memory; it starts at " +
                              std::to_string(layout.start) + " with a leading offset of " +
                              std::to_string(layout.leadingOffset) + " and a stride of " +
                              std::to_string(layout.strideOffset));
  return shared.bytes + address;
}

/**
 * A start may lie within a line (the steps along K), but the cells that the layout takes from one line have to end
 * with it: what follows belongs to the next line, and there is no offset for crossing (the K-major LBO is unused).
 * The ISA asks only for starts at multiples of 16, which the field's unit grants.
 */
void checkLine(const Descriptor &layout, uint32_t cells) {
  const uint32_t begin = layout.start % layout.lineBytes;
  if (layout.swizzled() && begin + cells * cellBytes > layout.lineBytes)
    refuse(layout.matrix, "starts at shared address " + std::to_string(layout.start) + ", " + std::to_string(begin) +
                              " bytes into a line of " + std::to_string(layout.lineBytes) +
                              " bytes of its swizzle, and takes " + std::to_string(cells * cellBytes) +
                              " bytes of it; it has to stay within the line");
}

/** Tile mn / 8 of rows of A or columns of B, `extent` of them, from shared memory. */
void decodeKMajor(Tile *tiles, const Descriptor &layout, int extent, SharedMemory shared) {
  checkLine(layout, cellsOfDepth);
  for (int mn = 0; mn < extent; mn++)
    for (int cell = 0; cell < cellsOfDepth; cell++) {
      uint16_t elements[cellElements];
      std::memcpy(elements, cellAt(layout, offsetKMajor(layout, mn, cell), shared), sizeof elements);
      for (int i = 0; i < cellElements; i++) tiles[mn / 8][cellElements * cell + i][mn % 8] = lowOf(elements[i]);
    }
}

void decodeMNMajor(Tile *tiles, const Descriptor &layout, int extent, SharedMemory shared) {
  const int cells = extent / cellElements;
  checkLine(layout, std::min<uint32_t>(cells, layout.lineCells()));
  for (int cell = 0; cell < cells; cell++)
    for (int k = 0; k < depth; k++) {
      uint16_t elements[cellElements];
      std::memcpy(elements, cellAt(layout, offsetMNMajor(layout, cell, k), shared), sizeof elements);
      for (int i = 0; i < cellElements; i++) tiles[cell][k][i] = lowOf(elements[i]);
    }
}

void decodeShared(Tile *tiles, uint64_t descriptor, const char *matrix, bool transposed, int extent,
                  SharedMemory shared) {
  const Descriptor layout = parse(descriptor, matrix);
  (transposed ? decodeMNMajor : decodeKMajor)(tiles, layout, extent, shared);
}

/** Warp w of the warpgroup holds rows 16·w to 16·w + 15 (9.7.15.5.1.1.1), which are tiles 2·w and 2·w + 1. */
void decodeA(Tile *tiles, const GroupOperands &operands, SharedMemory shared) {
  if (!operands.aInRegisters)
    return decodeShared(tiles, operands.aDescriptor, "A", operands.aTransposed, groupRows, shared);
  if (operands.aTransposed)
    throw std::runtime_error("wgmma.mma_async: A in registers cannot be transposed, as only a matrix that a "
                             "descriptor places in shared memory can; leave out imm-trans-a");
  for (int tile = 0; tile < groupRows / 8; tile++) {
    const int half = tile % 2, lane = 32 * (tile / 2);
    decodeRegisters(tiles[tile], {&operands.a[half][lane], &operands.a[2 + half][lane]});
  }
}

}  // namespace

void multiplyOfWarp(float (&d)[4][32], const uint32_t (&a)[4][32], const uint32_t (&b)[2][32],
                    const float (&c)[4][32]) {
  Tile aTile, bTile;
  decodeRegisters(bTile, {b[0], b[1]});
  for (int half = 0; half < 2; half++) {
    float sums[8][8];
    decodeRegisters(aTile, {a[half], a[2 + half]});
    loadSums(sums, {c[2 * half], c[2 * half + 1]});
    addProducts(sums, aTile, bTile);
    storeSums({d[2 * half], d[2 * half + 1]}, sums);
  }
}

/**
 * Lane l gets the two elements at row l / 4 from column 2·(l % 4) on; with .trans ("loaded in column-major format")
 * the two at column l / 4 from row 2·(l % 4) on (9.7.14.5.15, the figure of 8x8 fragments; the column-major one is
 * movmatrix's figure of a transposed matrix, 9.7.14.5.17).
 */
void loadMatrices(uint32_t (&to)[4][32], const unsigned char *const (&rows)[32], int count, bool transposed) {
  if (count != 1 && count != 2 && count != 4)
    throw std::runtime_error("ldmatrix: loads 1, 2 or 4 matrices, not " + std::to_string(count));
  for (int matrix = 0; matrix < count; matrix++) {
    uint16_t elements[8][8];
    for (int row = 0; row < 8; row++) {
      const unsigned char *from = rows[8 * matrix + row];
      if (!from)
        throw std::runtime_error("ldmatrix: lane " + std::to_string(8 * matrix + row) + " brings no address of row " +
                                 std::to_string(row) + " of matrix " + std::to_string(matrix));
      std::memcpy(elements[row], from, sizeof elements[row]);
    }
    for (int lane = 0; lane < 32; lane++) {
      const int outer = lane / 4, inner = 2 * (lane % 4);
      const uint32_t low = transposed ? elements[inner][outer] : elements[outer][inner];
      const uint32_t high = transposed ? elements[inner + 1][outer] : elements[outer][inner + 1];
      to[matrix][lane] = low | high << 16;
    }
  }
}

/**
 * Eight columns of D are values 4·g to 4·g + 3 of every lane; tile t of A's rows is half t % 2 of warp t / 2.
 * imm-scale negates elements of A and B (9.7.15.5.2), which is exact, so that it is done where they are decoded.
 */
void multiplyOfGroup(float (*sums)[128], const GroupOperands &operands, SharedMemory shared) {
  if (operands.columns < 8 || operands.columns > mostColumns || operands.columns % 8)
    throw std::runtime_error("wgmma.mma_async: N is 8 to 256 in steps of 8, not " + std::to_string(operands.columns));
  const int aTiles = groupRows / 8, bTiles = operands.columns / 8;
  Tile a[groupRows / 8], b[mostColumns / 8];
  decodeA(a, operands, shared);
  decodeShared(b, operands.bDescriptor, "B", operands.bTransposed, operands.columns, shared);
  if (operands.negateA) negate(a, aTiles);
  if (operands.negateB) negate(b, bTiles);
  for (int column = 0; column < bTiles; column++)
    for (int row = 0; row < aTiles; row++) {
      const int value = 4 * column + 2 * (row % 2), lane = 32 * (row / 2);
      float tile[8][8] = {};
      if (operands.addsToSums) loadSums(tile, {&sums[value][lane], &sums[value + 1][lane]});
      addProducts(tile, a[row], b[column]);
      storeSums({&sums[value][lane], &sums[value + 1][lane]}, tile);
    }
}

}  // namespace vwn::ptx
