/**
 * Matrix product: B is packed whole, in parallel; then blocks of C are tasks, each with its own packed part of A where A
 * cannot be read in place. Every element of C is summed in one fixed order, whatever the number of threads.
 */
#include "gemm.h"

#include "../threads.h"
#include "../workspace.h"
#include "gemm-pack.h"

namespace vwn {
namespace VWN_ISA {
namespace {

/** Units of K that one pass over a block of C takes: a panel of B of that depth stays near the core. */
constexpr int64_t depthOfPass = 512;
/** Up to so many rows of C a float32 B is read where it lies: a copy would not be used often enough to pay. */
constexpr int64_t mostRowsOfDirectB = 768;
/** Rows and columns of a task's block of C. */
constexpr int64_t blockRows = 20 * tileRows, blockColumns = 8 * panelColumns;

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
  explicit Gemm(const Product &product, Epilogue then = nullptr, const void *with = nullptr)
      : p(product), epilogue(then), context(with) {
    for (int64_t i = 0; i <= p.otherCount; i++) units += unitsOf(term(i));
    panels = (p.N + panelColumns - 1) / panelColumns;
    directB = !pairs && !p.b.transposed && p.b.type == VWN_F32 && p.N % W == 0 && p.M <= mostRowsOfDirectB && p.otherCount == 0;
    toC = !epilogue && p.type == VWN_F32 && p.N % W == 0;
  }

  bool run(bool parallel) {
    packed = static_cast<float *>(sharedScratch(Slot::packedB, directB ? 64 : units * panels * panelColumns * 4 + 64));
    scratch = threadScratch(Slot::packedA, strideOfUnits(blockRows + tileRows) * depthOfPass * 4 + 64);
    output = threadScratch(Slot::output, (blockRows + tileRows) * blockColumns * 4);
    if (!packed || !scratch || !output) return false;
    const auto pack = [&](int64_t panel, int) { packB(panel); };
    const int64_t tasks = rowTasks() * columnTasks();
    // Column by column: a part of B stays near the core, and the last tasks, for which threads wait, are the narrow ones.
    const auto block = [&](int64_t task, int thread) { blockOfC(task % rowTasks(), task / rowTasks(), thread); };
    if (parallel) {
      if (!directB) parallelFor(panels, pack);
      parallelFor(tasks, block);
    } else {
      for (int64_t panel = 0; panel < panels && !directB; panel++) packB(panel);
      for (int64_t task = 0; task < tasks; task++) block(task, 0);
    }
    return true;
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
    const int64_t threads = threadCount(), most = threads * blockRows;
    const int64_t rounds = (p.M + most - 1) / most;
    const int64_t tasks = rounds * threads, tiles = (p.M + tileRows - 1) / tileRows;
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
  /** The terms' panels stand behind each other, so that together they are one panel of all units. */
  void packB(int64_t panel) {
    float *to = packed + panel * panelColumns * units;
    for (int64_t i = 0; i <= p.otherCount; to += unitsOf(term(i)) * widthOf(panel), i++)
      packPanel<pairs>(term(i).b, term(i).K, panel * panelColumns, columnsOf(panel), widthOf(panel), to);
  }

  static View viewOfA(const Term &term, int64_t row, int64_t rows, int64_t unit, int64_t depth, float *room) {
    const Operand &A = term.a;
    const int64_t k = unit * step, elements = term.K - k < depth * step ? term.K - k : depth * step;
    if (isDirect(term)) {
      const int64_t ld = A.ld / step;
      return {static_cast<const float *>(A.data) + row * ld + unit, ld, 1, tileRows * ld};
    }
    const auto pack = [&](const auto *data) {
      if (A.transposed) packUnits<pairs>(data + k * A.ld + row, A.ld, rows, elements, room);
      else packRows<pairs>(data + row * A.ld + k, A.ld, rows, elements, depthOfPass, room);
    };
    if (A.type == VWN_BF16) pack(static_cast<const bf16 *>(A.data));
    else pack(static_cast<const float *>(A.data));
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
  Epilogue epilogue;
  const void *context;
  int64_t units = 0, panels;
  bool directB, toC;
  float *packed = nullptr;
  ThreadScratch scratch{}, output{};
};

bool runGemm(const Product &product, bool parallel, Epilogue epilogue = nullptr, const void *context = nullptr) {
  if (product.M == 0 || product.N == 0) return true;
  if (product.halves && hasPairs) return Gemm<hasPairs>(product, epilogue, context).run(parallel);
  return Gemm<false>(product, epilogue, context).run(parallel);
}

int64_t bytesOf(int32_t type) { return type == VWN_BF16 ? 2 : 4; }

}  // namespace

bool gemm(const Product &product) { return runGemm(product, true); }

bool gemmInto(const Product &product, Epilogue epilogue, const void *context) {
  return runGemm(product, true, epilogue, context);
}

int64_t columnsOfTask() { return blockColumns; }
int64_t columnTasksOf(int64_t N) { return (N + blockColumns - 1) / blockColumns; }

bool batchedGemm(const Product &first, const Batch &batch) {
  for (int64_t i = 0; i < batch.count; i++) {
    Product each = first;
    each.a.data = static_cast<const char *>(first.a.data) + i * batch.strideA * bytesOf(first.a.type);
    each.b.data = static_cast<const char *>(first.b.data) + i * batch.strideB * bytesOf(first.b.type);
    each.c = static_cast<char *>(first.c) + i * batch.strideC * bytesOf(first.type);
    // Small products are not worth waking the others for.
    if (!runGemm(each, first.M * first.N * first.K > 65536)) return false;
  }
  return true;
}

}  // namespace VWN_ISA
}  // namespace vwn
