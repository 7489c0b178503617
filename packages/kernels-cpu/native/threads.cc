#include "threads.h"

#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

namespace vwn {
namespace {

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

int defaultThreads() {
  if (const char *wanted = std::getenv("VWN_NUM_THREADS")) {
    const int threads = std::atoi(wanted);
    if (threads >= 1) return threads > 256 ? 256 : threads;
  }
  int cpus = static_cast<int>(std::thread::hardware_concurrency());
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) cpus = CPU_COUNT(&set);
  const int paid = cgroupCpus();
  if (paid > 0 && paid < cpus) cpus = paid;
#endif
  return cpus < 1 ? 1 : cpus > 256 ? 256 : cpus;
}

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

/** A worker spins this many times before it sleeps: a training step's kernels follow each other within microseconds. */
constexpr int spins = 4000;

class Pool {
 public:
  ~Pool() { stop(); }

  int count() {
    if (wanted_ == 0) wanted_ = defaultThreads();
    return wanted_;
  }

  void resize(int threads) {
    stop();
    wanted_ = threads < 1 ? 1 : threads > 256 ? 256 : threads;
  }

  void run(int64_t tasks, TaskFunction function, void *context) {
    if (count() == 1) {
      for (int64_t task = 0; task < tasks; task++) function(context, task, 0);
      return;
    }
    start();
    function_ = function;
    context_ = context;
    tasks_ = tasks;
    next_.store(0, std::memory_order_relaxed);
    busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      round_.fetch_add(1, std::memory_order_release);
    }
    if (sleeping_.load(std::memory_order_seq_cst) > 0) wake_.notify_all();
    work(0);
    while (busy_.load(std::memory_order_acquire) > 0) relax();
  }

 private:
  void work(int thread) {
    for (;;) {
      const int64_t task = next_.fetch_add(1, std::memory_order_relaxed);
      if (task >= tasks_) return;
      function_(context_, task, thread);
    }
  }

  void start() {
    if (!workers_.empty()) return;
    stopping_.store(false);
    const uint64_t seen = round_.load();
    for (int thread = 1; thread < wanted_; thread++) workers_.emplace_back([this, thread, seen] { loop(thread, seen); });
  }

  void loop(int thread, uint64_t seen) {
    for (;;) {
      seen = waitForRound(seen);
      if (stopping_.load()) return;
      work(thread);
      busy_.fetch_sub(1, std::memory_order_release);
    }
  }

  uint64_t waitForRound(uint64_t seen) {
    for (int spin = 0; spin < spins; spin++) {
      const uint64_t round = round_.load(std::memory_order_acquire);
      if (round != seen) return round;
      relax();
    }
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
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> round_{0};
  std::atomic<int> sleeping_{0};
  std::atomic<bool> stopping_{false};
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<int> busy_{0};
  TaskFunction function_ = nullptr;
  void *context_ = nullptr;
  int64_t tasks_ = 0;
};

/** Never destroyed: a process that exits while workers sleep must not wait for them. */
Pool &pool() {
  static Pool *const instance = new Pool;
  return *instance;
}

}  // namespace

int threadCount() { return pool().count(); }
void setThreadCount(int threads) { pool().resize(threads); }
void runTasks(int64_t tasks, TaskFunction function, void *context) { pool().run(tasks, function, context); }

}  // namespace vwn
