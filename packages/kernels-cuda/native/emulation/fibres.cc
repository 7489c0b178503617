#include "fibres.h"

#include <setjmp.h>
#include <ucontext.h>

#include <exception>
#include <memory>
#include <stdexcept>

namespace vwn {
namespace emulation {

Running running{};

namespace {

constexpr size_t stackBytes = size_t{256} << 10;
constexpr unsigned warp = 32;

enum class State { ready, atBarrier, done };

struct Fibre {
  ucontext_t context;
  jmp_buf place;
  std::unique_ptr<char[]> stack;
  bool isStarted = false;
  State state = State::done;
  Index index{};
  /** Shuffles that this lane has taken part in, and what it gives to the next one. */
  uint64_t exchanges = 0, given[2] = {};
};

std::vector<std::unique_ptr<Fibre>> fibres;
size_t count = 0;
bool isReversed = false;
Fibre *current = nullptr;
jmp_buf scheduler;
const std::function<void()> *work = nullptr;
std::exception_ptr failure;

void handOver() {
  if (!_setjmp(current->place)) _longjmp(scheduler, 1);
  running.thread = current->index;
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
  running.thread = fibre.index;
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

/**
 * Runs every fibre to its next barrier or its end, every second block from the last fibre to the first: where a barrier
 * is missing, one order or the other reads too early. Returns whether any ran.
 */
bool runAll() {
  bool moved = false;
  for (size_t turn = 0; turn < count && !failure; turn++) {
    Fibre &fibre = *fibres[isReversed ? count - 1 - turn : turn];
    if (fibre.state != State::ready) continue;
    resume(fibre);
    moved = true;
  }
  return moved;
}

/** Lets all pass the barrier. CUDA would not wait for those that have ended; a kernel that relies on it is none of ours. */
void openBarrier() {
  for (size_t i = 0; i < count; i++)
    if (fibres[i]->state == State::done)
      throw std::runtime_error("some threads of a block wait at a barrier that others have left out");
  for (size_t i = 0; i < count; i++) fibres[i]->state = State::ready;
}

bool allDone() {
  for (size_t i = 0; i < count; i++)
    if (fibres[i]->state != State::done) return false;
  return true;
}


}  // namespace

void syncBlock() {
  current->state = State::atBarrier;
  handOver();
}

uint64_t exchange(uint64_t value, unsigned from) {
  Fibre &self = *current;
  const size_t first = static_cast<size_t>(self.index.x) / warp * warp;
  const uint64_t turn = self.exchanges++;
  self.given[turn % 2] = value;
  if (first + from >= count) throw std::runtime_error("a shuffle reads a lane that the block does not have");
  // Two places for what is given: a lane can be one exchange ahead of another, not two.
  const auto isLate = [&] {
    for (size_t i = first; i < first + warp && i < count; i++)
      if (fibres[i]->exchanges <= turn) return true;
    return false;
  };
  for (int tries = 0; isLate(); tries++) {
    if (tries > 1) throw std::runtime_error("a shuffle that not all lanes of the warp take part in");
    handOver();
  }
  return fibres[first + from]->given[turn % 2];
}

void runBlock(const std::function<void()> &body) {
  count = running.threads.x;
  isReversed = !isReversed;
  work = &body;
  for (size_t i = 0; i < count; i++) {
    Fibre &fibre = fibreAt(i);
    fibre.state = State::ready;
    fibre.index = {static_cast<unsigned>(i), 0, 0};
    fibre.exchanges = 0;
  }
  try {
    while (!allDone()) {
      const bool moved = runAll();
      if (failure) std::rethrow_exception(std::exchange(failure, nullptr));
      if (!moved) openBarrier();
    }
  } catch (...) {
    // Fibres that stopped in the middle of a block are dropped, with what their stacks hold.
    fibres.clear();
    throw;
  }
}

}  // namespace emulation
}  // namespace vwn
