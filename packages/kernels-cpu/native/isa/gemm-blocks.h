/** A matrix product as tasks: panels of B to be packed, then blocks of C, each with its own packed part of A. */
#pragma once
#include <algorithm>

#include "../threads.h"
#include "../workspace.h"
#include "gemm-vectors.h"

namespace vwn {
namespace VWN_ISA {

/** Columns of a block of C that an epilogue is given. Other tasks may have twice as many. */
constexpr int64_t blockColumns = 512;

VWN_INLINE int64_t roundUpTo(int64_t grain, int64_t x) { return (x + grain - 1) / grain * grain; }

/** Part of C. */
struct Block {
  int64_t row, rows, column, columns;
};

/** One product by one engine: gemm-vectors.h says what an engine has, gemm-amx.h has another. */
template <class Engine>
class Gemm {
 public:
  /** Rows of C are split evenly among `by` threads. */
  explicit Gemm(const Product &product, int64_t by, Epilogue then = nullptr, const void *with = nullptr)
      : p(product), sharers(by), epilogue(then), context(with) {
    for (int64_t i = 0; i <= p.otherCount; i++) units += unitsOf(term(i));
    panels = (p.N + panelColumns - 1) / panelColumns;
    directB = Engine::readsInPlace(p);
    toC = !epilogue && p.type == VWN_F32 && p.N % W == 0;
    // Tasks that pack their part of A do so half as often when they are twice as wide, which leaves fewer to share out.
    if (toC && !Engine::isDirect(term(0)) && rowTasks() % sharers == 0) taskColumns *= 2;
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
    scratch = threadScratch(Slot::packedA, Engine::mostOfPackedA * 4 + 64);
    output = threadScratch(Slot::output, (blockRows + rowGrain) * blockColumns * 4);
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
  /**
   * Column by column, so that of B stays near the core what it is at, and the last tasks, for which threads wait, are the
   * narrow ones. Where columns do not share out evenly, the tasks of one sharer's rows come first, then those of the next's: each
   * thread's own part of them (threads.cc) is as much work as another's.
   */
  void block(int64_t task, int thread) const {
    const int64_t tasks = rowTasks(), parts = tasks % sharers || p.N % (sharers * taskColumns) == 0 ? 1 : sharers;
    const int64_t rows = tasks / parts, ofPart = rows * columnTasks(), place = task % ofPart;
    blockOfC(task / ofPart * rows + place % rows, place / rows, thread);
  }
  /** The terms' panels stand behind each other, so that together they are one panel of all units. */
  void packB(int64_t panel) const {
    float *to = packed + panel * panelColumns * units;
    const int64_t width = widthOf(panel);
    for (int64_t i = 0; i <= p.otherCount; to += unitsOf(term(i)) * width, i++) {
      const int64_t own = unitsIn(term(i));
      packPanel<Engine::pairs>(term(i).b, term(i).K, panel * panelColumns, columnsOf(panel), width, to);
      std::memset(to + own * width, 0, static_cast<size_t>((unitsOf(term(i)) - own) * width) * 4);
    }
  }

 private:
  static constexpr int64_t panelColumns = Engine::columnsOfPanel, blockRows = Engine::blockRows, rowGrain = Engine::rowGrain;

  Term term(int64_t i) const { return i == 0 ? Term{p.K, p.a, p.b} : p.others[i - 1]; }
  static int64_t unitsIn(const Term &term) { return (term.K + Engine::step - 1) / Engine::step; }
  /** What the engine makes of them. */
  static int64_t unitsOf(const Term &term) { return roundUpTo(Engine::unitGrain, unitsIn(term)); }

  int64_t columnTasks() const { return (p.N + taskColumns - 1) / taskColumns; }
  /** An even number of tasks for each thread, so that none works while the others wait. */
  int64_t rowTasks() const {
    const int64_t most = sharers * blockRows;
    const int64_t rounds = (p.M + most - 1) / most;
    const int64_t tasks = rounds * sharers, tiles = (p.M + rowGrain - 1) / rowGrain;
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
  /** Rows and columns of one task; its sums stand in C itself or in the thread's own block until they are whole. */
  void blockOfC(int64_t rowTask, int64_t columnTask, int thread) const {
    const int64_t tiles = (p.M + rowGrain - 1) / rowGrain, tasks = rowTasks();
    const int64_t row = rowTask * tiles / tasks * rowGrain, end = (rowTask + 1) * tiles / tasks * rowGrain;
    const int64_t rows = (end < p.M ? end : p.M) - row;
    const int64_t column = columnTask * taskColumns;
    const int64_t columns = p.N - column < taskColumns ? p.N - column : taskColumns;
    if (rows <= 0) return;
    const Block block{row, rows, column, columns};
    float *sums = toC ? static_cast<float *>(p.c) + row * p.ldc + column : output.of<float>(thread);
    const int64_t ld = toC ? p.ldc : blockColumns;
    sumsOf(block, sums, ld, toC && p.accumulate, thread);
    Engine::finish();
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
      for (int64_t unit = 0; unit < own; unit += Engine::depthOfPass, add = true) {
        const int64_t depth = own - unit < Engine::depthOfPass ? own - unit : Engine::depthOfPass;
        const auto a = Engine::viewOfA(each, block.row, block.rows, unit, depth, scratch.of<float>(thread));
        const auto panelAt = [&](int64_t j) { return panelOf(block.column + j, before + unit); };
        Engine::multiply(a, block.rows, block.columns, depth, panelAt, SumsOfC{sums, ld, add});
      }
      before += own;
    }
  }

  /** From unit `unit` on, and from `column`, the first of a panel. */
  Panel panelOf(int64_t column, int64_t unit) const {
    const int64_t panel = column / panelColumns, width = widthOf(panel);
    if (directB) return {static_cast<const float *>(p.b.data) + unit * p.b.ld + column, p.b.ld, width};
    return {packed + panel * panelColumns * units + unit * width, width, width};
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
  int64_t units = 0, panels, taskColumns = blockColumns;
  bool directB, toC, borrows = false;
  float *packed = nullptr;
  ThreadScratch scratch{}, output{};
};

}  // namespace VWN_ISA
}  // namespace vwn
