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

/** Runs every fibre to its next barrier or its end. Returns whether any ran. */
bool runAll() {
  bool moved = false;
  for (size_t i = 0; i < count && !failure; i++)
    if (fibres[i]->state == State::ready) {
      resume(*fibres[i]);
      moved = true;
    }
  return moved;
}

/** Lets those at the barrier pass once all others are done or there as well. Returns whether any passed. */
bool openBarrier() {
  bool passed = false;
  for (size_t i = 0; i < count; i++)
    if (fibres[i]->state == State::atBarrier) {
      fibres[i]->state = State::ready;
      passed = true;
    }
  return passed;
}

bool allDone() {
  for (size_t i = 0; i < count; i++)
    if (fibres[i]->state != State::done) return false;
  return true;
}

/** Fibres that a failure left in the middle of a block are dropped, with what their stacks hold. */
void rethrow() {
  const std::exception_ptr thrown = std::exchange(failure, nullptr);
  fibres.clear();
  std::rethrow_exception(thrown);
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
  work = &body;
  for (size_t i = 0; i < count; i++) {
    Fibre &fibre = fibreAt(i);
    fibre.state = State::ready;
    fibre.index = {static_cast<unsigned>(i), 0, 0};
    fibre.exchanges = 0;
  }
  while (!allDone()) {
    const bool moved = runAll();
    if (failure) rethrow();
    if (!moved) openBarrier();
  }
}

}  // namespace emulation
}  // namespace vwn
