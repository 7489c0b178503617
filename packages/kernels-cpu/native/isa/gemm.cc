/**
 * Matrix product: B is packed whole, in parallel; then blocks of C are tasks, each with its own packed part of A where A
 * cannot be read in place. Few rows are multiplied without packing. Every element of C is summed in one fixed order,
 * whatever the number of threads.
 */
#include "gemm.h"

#include <algorithm>
#include <vector>

#include "../threads.h"
#include "../workspace.h"
#include "gemm-few-rows.h"
#include "gemm-pack.h"

namespace vwn {
namespace VWN_ISA {
namespace {

/**
 * Units of K that one pass over a block of C takes: a panel of B of that depth stays near the core, in its second cache
 * where panels are wide (128 KiB), in its first where they are not (24 KiB with AVX2).
 */
constexpr int64_t depthOfPass = panelsAreWide ? 512 : 384;
/**
 * A float32 B is read where it lies up to so many rows of C, which would not use a copy often enough for it to pay, or if it
 * is small enough (4 MiB) to stay in the caches between those who read it. Narrow panels of it are single cache lines far
 * apart, often all in one set of the first cache.
 */
constexpr int64_t mostRowsOfDirectB = panelsAreWide ? 768 : 2 * tileRows;
constexpr int64_t mostFloatsOfDirectB = panelsAreWide ? int64_t{1} << 20 : 0;
/** Rows and columns of a task's block of C. */
constexpr int64_t blockRows = 20 * tileRows, blockColumns = 512;
/** Floats of a block of A, packed in either way. */
constexpr int64_t mostOfPackedA = packsTiles ? (blockRows / tileRows + 1) * strideOfTiles(depthOfPass)
                                             : strideOfUnits(blockRows + tileRows) * depthOfPass;

template <bool pairs, int MR, int NV>
VWN_INLINE void oneTile(int64_t K, const float *a, int64_t rowStride, int64_t stride, const float *b, int64_t ldb,
                        float *c, int64_t ldc, bool add) {
  constexpr Element element = pairs ? Element::pair : Element::single;
  const Factors<element> product{K, a, rowStride, stride, b, ldb};
  if (add) tile<MR, NV>(0, 0, Rows{c, ldc}, c, ldc, product);
  else tile<MR, NV>(0, 0, Zeros{}, c, ldc, product);
}

template <bool pairs, int NV, int MR>
void tileOf(int rows, int64_t K, const float *a, int64_t rowStride, int64_t stride, const float *b, int64_t ldb,
            float *c, int64_t ldc, bool add) {
  if constexpr (MR > 0) {
    if (rows == MR) oneTile<pairs, MR, NV>(K, a, rowStride, stride, b, ldb, c, ldc, add);
    else tileOf<pairs, NV, MR - 1>(rows, K, a, rowStride, stride, b, ldb, c, ldc, add);
  }
}

template <bool pairs>
void tileOf(int rows, int vectors, int64_t K, const float *a, int64_t rowStride, int64_t stride, const float *b,
            int64_t ldb, float *c, int64_t ldc, bool add) {
  if (vectors == 1) return tileOf<pairs, 1, tileRows>(rows, K, a, rowStride, stride, b, ldb, c, ldc, add);
  if (vectors == 2) return tileOf<pairs, 2, tileRows>(rows, K, a, rowStride, stride, b, ldb, c, ldc, add);
  if constexpr (tileVectors == 4) {
    if (vectors == 3) return tileOf<pairs, 3, tileRows>(rows, K, a, rowStride, stride, b, ldb, c, ldc, add);
    tileOf<pairs, 4, tileRows>(rows, K, a, rowStride, stride, b, ldb, c, ldc, add);
  }
}

/** A part of A in the form that tiles read. */
struct View {
  const float *data;
  int64_t rowStride; /* between rows of a tile */
  int64_t stride;    /* between units */
  int64_t tileStride; /* between tiles of tileRows rows */
};

/** Part of C. */
struct Block {
  int64_t row, rows, column, columns;
};

template <bool pairs>
class Gemm {
 public:
  /** Rows of C are split evenly among `by` threads. */
  explicit Gemm(const Product &product, int64_t by, Epilogue then = nullptr, const void *with = nullptr)
      : p(product), sharers(by), epilogue(then), context(with) {
    for (int64_t i = 0; i <= p.otherCount; i++) units += unitsOf(term(i));
    panels = (p.N + panelColumns - 1) / panelColumns;
    const bool worthNoCopy = p.M <= mostRowsOfDirectB || p.N * p.K <= mostFloatsOfDirectB;
    directB = !pairs && !p.b.transposed && p.b.type == VWN_F32 && p.N % W == 0 && worthNoCopy && p.otherCount == 0;
    toC = !epilogue && p.type == VWN_F32 && p.N % W == 0;
  }

  bool run(bool parallel) {
    if (!reserve(static_cast<float *>(sharedScratch(Slot::packedB, packedFloats() * 4 + 64)))) return false;
    if (parallel) {
      parallelFor(panelTasks(), [&](int64_t panel, int) { packB(panel); });
      parallelFor(blockTasks(), [&](int64_t task, int thread) { block(task, thread); });
    } else {
      for (int64_t panel = 0; panel < panelTasks(); panel++) packB(panel);
      for (int64_t task = 0; task < blockTasks(); task++) block(task, 0);
    }
    return true;
  }

  /** For a product of a group, whose tasks others make: room for B's panels, each packed by packB, then blocks. */
  int64_t packedFloats() const { return directB || borrows ? 0 : units * panels * panelColumns; }
  bool reserve(float *forB) {
    packed = forB;
    scratch = threadScratch(Slot::packedA, mostOfPackedA * 4 + 64);
    output = threadScratch(Slot::output, (blockRows + tileRows) * blockColumns * 4);
    return packed && scratch && output;
  }
  int64_t panelTasks() const { return directB || borrows ? 0 : panels; }
  /** Uses the other's panels if it multiplies by the same B: reserve() must then be given the room that the other has. */
  void borrowFrom(const Gemm &other) {
    const Operand &own = p.b, &its = other.p.b;
    const bool same = own.data == its.data && own.type == its.type && own.ld == its.ld && own.transposed == its.transposed;
    borrows = same && !directB && !other.directB && p.K == other.p.K && p.N == other.p.N && p.otherCount + other.p.otherCount == 0;
  }
  bool isBorrower() const { return borrows; }
  int64_t blockTasks() const { return rowTasks() * columnTasks(); }
  /** Column by column: a part of B stays near the core, and the last tasks, for which threads wait, are the narrow ones. */
  void block(int64_t task, int thread) const { blockOfC(task % rowTasks(), task / rowTasks(), thread); }
  /** The terms' panels stand behind each other, so that together they are one panel of all units. */
  void packB(int64_t panel) const {
    float *to = packed + panel * panelColumns * units;
    for (int64_t i = 0; i <= p.otherCount; to += unitsOf(term(i)) * widthOf(panel), i++)
      packPanel<pairs>(term(i).b, term(i).K, panel * panelColumns, columnsOf(panel), widthOf(panel), to);
  }

 private:
  static constexpr int64_t step = pairs ? 2 : 1;

  Term term(int64_t i) const { return i == 0 ? Term{p.K, p.a, p.b} : p.others[i - 1]; }
  static int64_t unitsOf(const Term &term) { return (term.K + step - 1) / step; }
  /** Whether tiles can read A where it lies. */
  static bool isDirect(const Term &term) {
    const bool wanted = pairs ? term.a.type == VWN_BF16 : term.a.type == VWN_F32;
    return !term.a.transposed && wanted && (!pairs || (term.K % 2 == 0 && term.a.ld % 2 == 0));
  }

  int64_t columnTasks() const { return columnTasksOf(p.N); }
  /** An even number of tasks for each thread, so that none works while the others wait. */
  int64_t rowTasks() const {
    const int64_t most = sharers * blockRows;
    const int64_t rounds = (p.M + most - 1) / most;
    const int64_t tasks = rounds * sharers, tiles = (p.M + tileRows - 1) / tileRows;
    return tasks < tiles ? tasks : tiles;
  }

  int64_t widthOf(int64_t panel) const {
    const int64_t columns = columnsOf(panel);
    return (columns + W - 1) / W * W;
  }
  int64_t columnsOf(int64_t panel) const {
    const int64_t left = p.N - panel * panelColumns;
    return left < panelColumns ? left : panelColumns;
  }
  static View viewOfA(const Term &term, int64_t row, int64_t rows, int64_t unit, int64_t depth, float *room) {
    const Operand &A = term.a;
    const int64_t k = unit * step, elements = term.K - k < depth * step ? term.K - k : depth * step;
    if (isDirect(term)) {
      const int64_t ld = A.ld / step;
      return {static_cast<const float *>(A.data) + row * ld + unit, ld, 1, tileRows * ld};
    }
    const auto pack = [&](const auto *data) {
      if (A.transposed && packsTiles) packTiles<pairs>(data + k * A.ld + row, A.ld, rows, elements, room);
      else if (A.transposed) packUnits<pairs>(data + k * A.ld + row, A.ld, rows, elements, room);
      else packRows<pairs>(data + row * A.ld + k, A.ld, rows, elements, depthOfPass, room);
    };
    if (A.type == VWN_BF16) pack(static_cast<const bf16 *>(A.data));
    else pack(static_cast<const float *>(A.data));
    if (A.transposed && packsTiles) return {room, 1, tileRows, strideOfTiles(depth)};
    if (A.transposed) return {room, 1, strideOfUnits(rows), tileRows};
    return {room, depthOfPass, 1, tileRows * depthOfPass};
  }

  /** Rows and columns of one task; its sums stand in C itself or in the thread's own block until they are whole. */
  void blockOfC(int64_t rowTask, int64_t columnTask, int thread) const {
    const int64_t tiles = (p.M + tileRows - 1) / tileRows, tasks = rowTasks();
    const int64_t row = rowTask * tiles / tasks * tileRows, end = (rowTask + 1) * tiles / tasks * tileRows;
    const int64_t rows = (end < p.M ? end : p.M) - row;
    const int64_t column = columnTask * blockColumns;
    const int64_t columns = p.N - column < blockColumns ? p.N - column : blockColumns;
    if (rows <= 0) return;
    const Block block{row, rows, column, columns};
    float *sums = toC ? static_cast<float *>(p.c) + row * p.ldc + column : output.of<float>(thread);
    const int64_t ld = toC ? p.ldc : blockColumns;
    sumsOf(block, sums, ld, toC && p.accumulate, thread);
    if (epilogue) epilogue(context, {row, rows, column, columns, columnTask, sums, ld});
    else if (!toC) writeOut(sums, ld, block);
  }

  /** All terms of a part of C, added to what `sums` holds or not. */
  void sumsOf(const Block &block, float *sums, int64_t ld, bool add, int thread) const {
    if (units == 0) clear(sums, ld, block.rows, block.columns, add);
    int64_t before = 0;
    for (int64_t i = 0; i <= p.otherCount; i++) {
      const Term each = term(i);
      const int64_t own = unitsOf(each);
      for (int64_t unit = 0; unit < own; unit += depthOfPass, add = true) {
        const int64_t depth = own - unit < depthOfPass ? own - unit : depthOfPass;
        const View a = viewOfA(each, block.row, block.rows, unit, depth, scratch.of<float>(thread));
        pass(a, block.rows, block.column, block.columns, before + unit, depth, sums, ld, add);
      }
      before += own;
    }
  }

  void pass(const View &a, int64_t rows, int64_t column, int64_t columns, int64_t unit, int64_t depth, float *sums,
            int64_t ld, bool add) const {
    for (int64_t j = 0; j < columns; j += panelColumns) {
      const int64_t panel = (column + j) / panelColumns, width = widthOf(panel);
      const float *b = directB ? static_cast<const float *>(p.b.data) + unit * p.b.ld + column + j
                               : packed + panel * panelColumns * units + unit * width;
      const int64_t ldb = directB ? p.b.ld : width;
      for (int64_t i = 0, t = 0; i < rows; i += tileRows, t++) {
        const int height = static_cast<int>(rows - i < tileRows ? rows - i : tileRows);
        tileOf<pairs>(height, static_cast<int>(width / W), depth, a.data + t * a.tileStride, a.rowStride, a.stride, b,
                      ldb, sums + i * ld + j, ld, add);
      }
    }
  }

  static void clear(float *sums, int64_t ld, int64_t rows, int64_t columns, bool keep) {
    for (int64_t i = 0; i < rows && !keep; i++)
      std::memset(sums + i * ld, 0, static_cast<size_t>(columns) * 4);
  }

  void writeOut(const float *sums, int64_t ld, const Block &block) const {
    const auto write = [&](auto *c) {
      for (int64_t i = 0; i < block.rows; i++) {
        auto *out = c + (block.row + i) * p.ldc + block.column;
        const float *from = sums + i * ld;
        eachVector(
            block.columns,
            [&](int64_t j) { store(out + j, p.accumulate ? load(out + j) + load(from + j) : load(from + j)); },
            [&](int64_t j, int64_t count) {
              const vf old = p.accumulate ? loadFirst(out + j, count) : vf{};
              storeFirst(out + j, old + loadFirst(from + j, count), count);
            });
      }
    };
    if (p.type == VWN_BF16) write(static_cast<bf16 *>(p.c));
    else write(static_cast<float *>(p.c));
  }

  const Product &p;
  int64_t sharers;
  Epilogue epilogue;
  const void *context;
  int64_t units = 0, panels;
  bool directB, toC, borrows = false;
  float *packed = nullptr;
  ThreadScratch scratch{}, output{};
};

bool runGemm(const Product &product, bool parallel, Epilogue epilogue = nullptr, const void *context = nullptr) {
  if (product.M == 0 || product.N == 0) return true;
  if (!epilogue && hasFewRows(product)) return multiplyFewRows(product, parallel), true;
  if (product.halves && hasPairs) return Gemm<hasPairs>(product, threadCount(), epilogue, context).run(parallel);
  return Gemm<false>(product, threadCount(), epilogue, context).run(parallel);
}

/** Floats of packed B that products of a group have at once, or one alone: 16 MiB, which the last cache may hold. */
constexpr int64_t mostPackedAtOnce = int64_t{1} << 22;

/** body(member, task, thread) for all tasks of all members, as many of each as `count` says. */
template <class Member, class Body>
void forAllTasks(bool parallel, const std::vector<Member> &members, int64_t (Member::*count)() const, const Body &body) {
  if (!parallel) {
    for (const Member &each : members)
      for (int64_t task = 0; task < (each.*count)(); task++) body(each, task, 0);
    return;
  }
  std::vector<int64_t> begins{0};
  for (const Member &each : members) begins.push_back(begins.back() + (each.*count)());
  parallelFor(begins.back(), [&](int64_t task, int thread) {
    const auto at = static_cast<size_t>(std::upper_bound(begins.begin(), begins.end(), task) - begins.begin()) - 1;
    body(members[at], task - begins[at], thread);
  });
}

/** Takes products, from `next` on, as long as their packed B fits, and runs them. */
template <bool pairs>
bool runSome(const Product *products, int64_t count, int64_t &next, int64_t sharers, bool parallel) {
  std::vector<Gemm<pairs>> members;
  int64_t floats = 0;
  for (; next < count; next++) {
    if (products[next].M == 0 || products[next].N == 0) continue;
    if (hasFewRows(products[next])) break;
    Gemm<pairs> one(products[next], sharers);
    if (!members.empty()) one.borrowFrom(members.back());
    if (!members.empty() && floats + one.packedFloats() > mostPackedAtOnce) break;
    floats += one.packedFloats();
    members.push_back(one);
  }
  float *packed = static_cast<float *>(sharedScratch(Slot::packedB, floats * 4 + 64));
  float *panels = packed;
  for (Gemm<pairs> &each : members) {
    if (!each.isBorrower()) panels = packed;
    if (!packed || !each.reserve(panels)) return false;
    packed += each.packedFloats();
  }
  using Member = Gemm<pairs>;
  const auto pack = [](const Member &each, int64_t panel, int) { each.packB(panel); };
  const auto multiply = [](const Member &each, int64_t task, int thread) { each.block(task, thread); };
  forAllTasks(parallel, members, &Member::panelTasks, pack);
  forAllTasks(parallel, members, &Member::blockTasks, multiply);
  return true;
}

/** Multiply-adds; up to so many are not worth waking the others for. */
constexpr int64_t mostForOneThread = 65536;
int64_t workOf(const Product &product) {
  int64_t depth = product.K;
  for (int64_t i = 0; i < product.otherCount; i++) depth += product.others[i].K;
  return product.M * product.N * depth;
}

int64_t bytesOf(int32_t type) { return type == VWN_BF16 ? 2 : 4; }

}  // namespace

bool gemmInto(const Product &product, Epilogue epilogue, const void *context) {
  return runGemm(product, true, epilogue, context);
}

int64_t columnsOfTask() { return blockColumns; }

bool groupedGemm(const Product *products, int64_t count) {
  // As few parts of each product as give every thread some of them: A is read, and packed, once for each.
  const int64_t threads = threadCount(), sharers = count >= 4 * threads ? 1 : threads;
  int64_t work = 0;
  for (int64_t i = 0; i < count; i++) work += workOf(products[i]);
  const bool parallel = work > mostForOneThread;
  for (int64_t next = 0; next < count;) {
    if (hasFewRows(products[next])) {
      multiplyFewRows(products[next++], parallel);
      continue;
    }
    const bool halves = products[next].halves && hasPairs;
    const bool done = halves ? runSome<hasPairs>(products, count, next, sharers, parallel)
                             : runSome<false>(products, count, next, sharers, parallel);
    if (!done) return false;
  }
  return true;
}

int64_t columnTasksOf(int64_t N) { return (N + blockColumns - 1) / blockColumns; }

bool batchedGemm(const Product &first, const Batch &batch) {
  for (int64_t i = 0; i < batch.count; i++) {
    Product each = first;
    each.a.data = static_cast<const char *>(first.a.data) + i * batch.strideA * bytesOf(first.a.type);
    each.b.data = static_cast<const char *>(first.b.data) + i * batch.strideB * bytesOf(first.b.type);
    each.c = static_cast<char *>(first.c) + i * batch.strideC * bytesOf(first.type);
    if (!runGemm(each, workOf(each) > mostForOneThread)) return false;
  }
  return true;
}

}  // namespace VWN_ISA
}  // namespace vwn
