#include "threads.h"

#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace vwn {
namespace {

constexpr int mostThreads = 256;

/** CPUs that the cgroup's quota pays for, rounded up; 0 when there is no quota. */
int cgroupCpus() {
  long long quota = -1, period = 0;
  if (FILE *file = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {
    if (std::fscanf(file, "%lld %lld", &quota, &period) != 2) quota = -1;
    std::fclose(file);
  } else {
    FILE *v1Quota = std::fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r");
    FILE *v1Period = std::fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "r");
    if (v1Quota && v1Period && (std::fscanf(v1Quota, "%lld", &quota) != 1 || std::fscanf(v1Period, "%lld", &period) != 1))
      quota = -1;
    if (v1Quota) std::fclose(v1Quota);
    if (v1Period) std::fclose(v1Period);
  }
  return quota > 0 && period > 0 ? static_cast<int>((quota + period - 1) / period) : 0;
}

/** Processors that this process may use. */
int usableCpus() {
  int cpus = static_cast<int>(std::thread::hardware_concurrency());
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) cpus = CPU_COUNT(&set);
  const int paid = cgroupCpus();
  if (paid > 0 && paid < cpus) cpus = paid;
#endif
  return cpus < 1 ? 1 : cpus > mostThreads ? mostThreads : cpus;
}

/** What VWN_NUM_THREADS says, as it stands there; nullptr where it says nothing. */
const char *setting() {
  const char *wanted = std::getenv("VWN_NUM_THREADS");
  return wanted && *wanted ? wanted : nullptr;
}

/** A number of threads that may be; 0 for any other text. */
int threadsOf(const char *text) {
  char *end = nullptr;
  const long threads = std::strtol(text, &end, 10);
  return *end == '\0' && threads >= 1 && threads <= mostThreads ? static_cast<int>(threads) : 0;
}

int defaultThreads() {
  const int wanted = setting() ? threadsOf(setting()) : 0;
  return wanted > 0 ? wanted : usableCpus();
}

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

using Clock = std::chrono::steady_clock;
/**
 * How long a worker looks for work before it sleeps. JavaScript between two kernels takes tens of microseconds, sometimes
 * hundreds; to wake a sleeping thread takes a quarter of a millisecond on a virtual machine, as long as a small kernel
 * runs.
 */
constexpr auto patience = std::chrono::microseconds(250);
/** The same where threads share processors: what one looks for, another may be about to do. */
constexpr auto patienceOfMany = std::chrono::microseconds(20);
/** Looks between two looks at the clock. */
constexpr int looks = 64;
/** How often the caller looks whether the last tasks are done before it offers its processor to others. */
constexpr int spins = 4000;
constexpr int ticketBits = 40;

class Pool {
 public:
  ~Pool() { stop(); }

  int count() {
    if (wanted_ == 0) wanted_ = defaultThreads();
    return wanted_;
  }

  void resize(int threads) {
    stop();
    wanted_ = threads < 1 ? 1 : threads > mostThreads ? mostThreads : threads;
  }

  void run(int64_t tasks, TaskFunction function, void *context) {
    if (count() == 1 || tasks == 1) {
      for (int64_t task = 0; task < tasks; task++) function(context, task, 0);
      return;
    }
    if (tasks < 1) return;
    start();
    function_ = function;
    context_ = context;
    tasks_ = tasks;
    failure_ = nullptr;
    done_.store(0, std::memory_order_relaxed);
    {
      // Tasks first: a worker that sees the round before them finds nothing to do, and sits the round out.
      std::lock_guard<std::mutex> lock(mutex_);
      const uint64_t round = round_.load(std::memory_order_relaxed) + 1;
      for (int part = 0; part < wanted_; part++)
        parts_[part].ticket.store(round << ticketBits | static_cast<uint64_t>(firstOf(part + 1) - firstOf(part)),
                                  std::memory_order_release);
      round_.store(round, std::memory_order_release);
    }
    if (sleeping_.load(std::memory_order_seq_cst) > 0) wake_.notify_all();
    work(0);
    waitForTasks();
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  int64_t firstOf(int part) const { return tasks_ * part / wanted_; }

  /**
   * Takes tasks until none is left: first a thread's own part, which are the rows that it has had in the kernel before and
   * that lie in its caches, then what is left of the others'.
   */
  void work(int thread) {
    for (int i = 0; i < wanted_; i++) workOn((thread + i) % wanted_, thread);
  }

  /**
   * Claims are by comparison, so that a worker which wakes late, perhaps in another round, claims nothing that is not
   * there; and what it has claimed keeps the round's fields as they are.
   */
  void workOn(int part, int thread) {
    std::atomic<uint64_t> &open = parts_[part].ticket;
    uint64_t ticket = open.load(std::memory_order_acquire);
    while (const uint64_t left = ticket & ((uint64_t{1} << ticketBits) - 1)) {
      if (!open.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel)) continue;
      attempt(firstOf(part + 1) - static_cast<int64_t>(left), thread);
      done_.fetch_add(1, std::memory_order_release);
      ticket = open.load(std::memory_order_acquire);
    }
  }

  /** What a task throws (no memory) reaches the caller of run(); on a worker it would end the process. */
  void attempt(int64_t task, int thread) {
    try {
      function_(context_, task, thread);
    } catch (...) {
      std::lock_guard<std::mutex> lock(mutex_);
      failure_ = std::current_exception();
    }
  }

  /** Gives the CPU away where tasks take long: it may be the one that a worker with the last task waits for. */
  void waitForTasks() {
    for (int spin = 0; done_.load(std::memory_order_acquire) < tasks_; spin++)
      if (spin < spins) relax();
      else std::this_thread::yield();
  }

  /** Where the system has no more threads, those that there are do all work. */
  void start() {
    if (!workers_.empty()) return;
    parts_ = std::make_unique<Part[]>(static_cast<size_t>(wanted_));
    stopping_.store(false);
    patience_ = wanted_ > usableCpus() ? Clock::duration(patienceOfMany) : Clock::duration(patience);
    const uint64_t seen = round_.load();
    try {
      for (int thread = 1; thread < wanted_; thread++) workers_.emplace_back([this, thread, seen] { loop(thread, seen); });
    } catch (const std::exception &) {
      wanted_ = static_cast<int>(workers_.size()) + 1;
    }
  }

  void loop(int thread, uint64_t seen) {
    for (;;) {
      seen = waitForRound(seen);
      if (stopping_.load()) return;
      work(thread);
    }
  }

  uint64_t waitForRound(uint64_t seen) {
    const Clock::time_point end = Clock::now() + patience_;
    do
      for (int look = 0; look < looks; look++) {
        const uint64_t round = round_.load(std::memory_order_acquire);
        if (round != seen) return round;
        relax();
      }
    while (Clock::now() < end);
    std::unique_lock<std::mutex> lock(mutex_);
    sleeping_.fetch_add(1, std::memory_order_seq_cst);
    wake_.wait(lock, [&] { return round_.load(std::memory_order_acquire) != seen; });
    sleeping_.fetch_sub(1, std::memory_order_seq_cst);
    return round_.load(std::memory_order_acquire);
  }

  void stop() {
    if (workers_.empty()) return;
    stopping_.store(true);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      round_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    for (std::thread &worker : workers_) worker.join();
    workers_.clear();
  }

  int wanted_ = 0;
  Clock::duration patience_{};
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> round_{0};
  std::atomic<int> sleeping_{0};
  std::atomic<bool> stopping_{false};
  /** A thread's own tasks: the round in the upper bits, tasks left to claim in the lower. */
  struct alignas(64) Part {
    std::atomic<uint64_t> ticket{0};
  };
  std::unique_ptr<Part[]> parts_;
  alignas(64) std::atomic<int64_t> done_{0};
  TaskFunction function_ = nullptr;
  void *context_ = nullptr;
  int64_t tasks_ = 0;
  std::exception_ptr failure_;
};

/** Never destroyed: a process that exits while workers sleep must not wait for them. */
Pool &pool() {
  static Pool *const instance = new Pool;
  return *instance;
}

}  // namespace

std::string threadsProblem() {
  if (!setting() || threadsOf(setting()) > 0) return "";
  return std::string("VWN_NUM_THREADS is ") + setting() + ", and must be a whole number from 1 to " +
         std::to_string(mostThreads) + ": correct it, or leave it out to use every processor";
}

int threadCount() { return pool().count(); }
void setThreadCount(int threads) { pool().resize(threads); }
void runTasks(int64_t tasks, TaskFunction function, void *context) { pool().run(tasks, function, context); }

}  // namespace vwn
