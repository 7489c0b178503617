#include "fibres.h"

#include <setjmp.h>
#include <ucontext.h>

#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <stdexcept>

#include "watch.h"

namespace vwn {
namespace emulation {

Running running{};

namespace {

constexpr size_t stackBytes = size_t{256} << 10;
constexpr unsigned warp = 32, warpgroup = 128;
/** Of a matrix that ldmatrix loads. */
constexpr size_t rowBytes = 16;

enum class State { ready, atBarrier, inCluster, done };

/** What is asked for and done later, group by group; the last one is not yet committed. */
template <class T>
class Groups {
 public:
  void add(T item) {
    if (groups.empty()) groups.emplace_back();
    groups.back().push_back(std::move(item));
  }
  void commit() {
    if (groups.empty()) groups.emplace_back();
    groups.emplace_back();
  }
  /** All but the last `pending` groups, and what is not committed. */
  template <class Body>
  void await(int pending, const Body &body) {
    for (; groups.size() > static_cast<size_t>(pending) + 1; groups.pop_front())
      for (T &item : groups.front()) body(item);
  }
  void clear() { groups.clear(); }

 private:
  std::deque<std::vector<T>> groups;
};

struct Copy {
  void *to;
  const void *from;
  size_t bytes;
};

struct Fibre {
  ucontext_t context;
  jmp_buf place;
  std::unique_ptr<char[]> stack;
  bool isStarted = false;
  State state = State::done;
  Index index{}, block{};
  unsigned rank = 0;
  /** Barriers of the cluster that this thread has come to, and has waited for. */
  uint64_t arrivals = 0, waits = 0;
  /** How often this lane has shared, and what: two places, since a lane can be one time ahead of another, not two. */
  uint64_t times = 0;
  alignas(16) char shown[2][32] = {};
  Groups<Copy> copies;
  Groups<std::function<void()>> works;
  uint64_t worksAsked = 0;
};

/** One block's after another's, `ofBlock` each. */
std::vector<std::unique_ptr<Fibre>> fibres;
size_t count = 0, ofBlock = 0;
uint64_t begun = 0;
/** Of the cluster's barrier: how often it has been passed, and how many threads have come to it since. */
uint64_t passed = 0;
size_t arrived = 0;
Fibre *current = nullptr;
jmp_buf scheduler;
const std::function<void()> *work = nullptr;
std::exception_ptr failure;

void show(const Fibre &fibre) {
  running.thread = fibre.index;
  running.block = fibre.block;
  running.rank = fibre.rank;
}

void handOver() {
  if (!_setjmp(current->place)) _longjmp(scheduler, 1);
  show(*current);
}

/** A fibre outlives its block: between blocks it waits at the end of this loop. */
void loop() {
  for (;;) {
    try {
      (*work)();
    } catch (...) {
      failure = std::current_exception();
    }
    current->state = State::done;
    handOver();
  }
}

void resume(Fibre &fibre) {
  current = &fibre;
  show(fibre);
  if (_setjmp(scheduler)) return;
  if (fibre.isStarted) _longjmp(fibre.place, 1);
  fibre.isStarted = true;
  setcontext(&fibre.context);
}

Fibre &fibreAt(size_t i) {
  while (fibres.size() <= i) {
    auto fibre = std::make_unique<Fibre>();
    fibre->stack = std::make_unique<char[]>(stackBytes);
    getcontext(&fibre->context);
    fibre->context.uc_stack.ss_sp = fibre->stack.get();
    fibre->context.uc_stack.ss_size = stackBytes;
    fibre->context.uc_link = nullptr;
    makecontext(&fibre->context, loop, 0);
    fibres.push_back(std::move(fibre));
  }
  return *fibres[i];
}

bool canRun(const Fibre &fibre) {
  return fibre.state == State::ready || (fibre.state == State::inCluster && passed >= fibre.waits);
}

/**
 * Runs every fibre to its next barrier or its end, every second cluster from the last fibre to the first: where a barrier
 * is missing, one order or the other reads too early. Returns whether any ran.
 */
bool runAll() {
  bool moved = false;
  for (size_t turn = 0; turn < count && !failure; turn++) {
    Fibre &fibre = *fibres[begun % 2 ? count - 1 - turn : turn];
    if (!canRun(fibre)) continue;
    fibre.state = State::ready;
    resume(fibre);
    moved = true;
  }
  return moved;
}

/** Warps of a group work together: a GPU waits for one that does not ask for what the others do. */
void checkGroups(size_t first) {
  for (size_t i = 0; i < ofBlock; i++)
    if (fibres[first + i]->worksAsked != fibres[first + i / warpgroup * warpgroup]->worksAsked)
      throw std::runtime_error("a product that not all warps of a group take part in");
}

/** How many of a block's threads are in a state. */
size_t countOf(size_t first, State state) {
  size_t found = 0;
  for (size_t i = 0; i < ofBlock; i++) found += fibres[first + i]->state == state;
  return found;
}

/**
 * Lets a block pass its barrier; false where it waits for its cluster, or has ended. CUDA would not wait for threads that have ended;
 * a kernel that relies on it is none of ours.
 */
bool openBarrier(size_t first) {
  const size_t waiting = countOf(first, State::atBarrier);
  if (waiting == 0) return false;
  if (waiting < ofBlock) throw std::runtime_error("some threads of a block wait at a barrier that others have left out");
  checkGroups(first);
  for (size_t i = 0; i < ofBlock; i++) fibres[first + i]->state = State::ready;
  watch::passBarrier(fibres[first]->rank);
  return true;
}

void openBarriers() {
  bool opened = false;
  for (size_t first = 0; first < count; first += ofBlock) opened = openBarrier(first) || opened;
  if (!opened) throw std::runtime_error("some threads of a cluster wait at a barrier that others have left out");
}

bool allDone() {
  for (size_t i = 0; i < count; i++)
    if (fibres[i]->state != State::done) return false;
  return true;
}

}  // namespace

void stop(const std::string &why) {
  failure = std::make_exception_ptr(std::runtime_error(why));
  _longjmp(scheduler, 1);
}

void syncBlock() {
  current->state = State::atBarrier;
  handOver();
}

void *inBlockOfCluster(void *own, unsigned rank) {
  const auto at = static_cast<char *>(own) - static_cast<char *>(sharedMemory());
  if (rank >= running.cluster) throw std::runtime_error("a cluster does not have so many blocks");
  return static_cast<char *>(sharedMemory()) + at + (static_cast<ptrdiff_t>(rank) - running.rank) * static_cast<ptrdiff_t>(sharedApart);
}

void arriveInCluster() {
  if (current->arrivals++ != current->waits) throw std::runtime_error("a thread comes to a cluster's barrier before it has waited for the last one");
  if (++arrived < count) return;
  arrived = 0;
  passed++;
  watch::passCluster();
}
void awaitCluster() {
  if (++current->waits > current->arrivals) throw std::runtime_error("a thread waits at a cluster's barrier that it has not come to");
  if (passed >= current->waits) return;
  current->state = State::inCluster;
  handOver();
}
ClusterBarriers clusterBarriers() { return {passed, current->arrivals, current->waits}; }

/** The first thread of the running one's warp. */
size_t firstOfWarp() { return current->rank * ofBlock + static_cast<size_t>(current->index.x) / warp * warp; }

void share(const void *bytes, size_t size) {
  Fibre &self = *current;
  const size_t first = firstOfWarp(), end = (self.rank + 1) * ofBlock;
  const uint64_t turn = self.times++;
  if (size > 0) std::memcpy(self.shown[turn % 2], bytes, size);
  const auto isLate = [&] {
    for (size_t i = first; i < first + warp && i < end; i++)
      if (fibres[i]->times <= turn) return true;
    return false;
  };
  for (int tries = 0; isLate(); tries++) {
    if (tries > 1) throw std::runtime_error("a shuffle that not all lanes of the warp take part in");
    handOver();
  }
  if (size == 0) watch::passWarp();
}

const void *sharedBy(unsigned lane) {
  const size_t at = firstOfWarp() + lane;
  if (lane >= warp || at >= (current->rank + 1) * ofBlock) throw std::runtime_error("a shuffle reads a lane that the block does not have");
  return fibres[at]->shown[(current->times - 1) % 2];
}

void showRow(const void *row) {
  watch::noteRead(row, rowBytes, __builtin_return_address(0));
  share(&row, sizeof row);
}

uint16_t ofRow(unsigned lane, unsigned i) {
  uint16_t value;
  std::memcpy(&value, *static_cast<const char *const *>(sharedBy(lane)) + 2 * i, 2);
  return value;
}

void copyLater(void *to, const void *from, size_t bytes) {
  watch::ask(to, from, bytes, __builtin_return_address(0));
  current->copies.add({to, from, bytes});
}

void commitCopies() { current->copies.commit(); }

void awaitCopies(int pending) {
  current->copies.await(pending, [](const Copy &copy) {
    watch::arrive(copy.to, copy.bytes);
    if (copy.from) std::memcpy(copy.to, copy.from, copy.bytes);
    else std::memset(copy.to, 0, copy.bytes);
  });
}

uint64_t clustersBegun() { return begun; }

void doLater(std::function<void()> work) {
  current->worksAsked++;
  current->works.add(std::move(work));
}
void commitWorks() { current->works.commit(); }
void awaitWorks(int pending) {
  current->works.await(pending, [](const std::function<void()> &work) { work(); });
}

namespace {

void begin(Fibre &fibre, size_t i, const Index &first) {
  fibre.state = State::ready;
  fibre.index = {static_cast<unsigned>(i % ofBlock), 0, 0};
  fibre.rank = static_cast<unsigned>(i / ofBlock);
  fibre.block = {first.x + fibre.rank, first.y, first.z};
  fibre.times = fibre.arrivals = fibre.waits = fibre.worksAsked = 0;
  fibre.copies.clear();
  fibre.works.clear();
}

}  // namespace

void runCluster(const std::function<void()> &body) {
  ofBlock = running.threads.x;
  count = ofBlock * running.cluster;
  begun++;
  passed = arrived = 0;
  work = &body;
  watch::beginCluster();
  const Index first = running.block;
  for (size_t i = 0; i < count; i++) begin(fibreAt(i), i, first);
  try {
    while (!allDone()) {
      const bool moved = runAll();
      if (failure) std::rethrow_exception(std::exchange(failure, nullptr));
      if (!moved) openBarriers();
    }
    for (size_t block = 0; block < count; block += ofBlock) checkGroups(block);
  } catch (...) {
    // Fibres that stopped in the middle of a block are dropped, with what their stacks hold.
    fibres.clear();
    throw;
  }
}

}  // namespace emulation
}  // namespace vwn
