/**
 * limit THREADS MEBIBYTES: shares out tasks among so many threads, whose stacks have so much address space together, and says
 * how many threads did them.
 */
#include <sys/resource.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "../../native/threads.h"

int main(int count, char **values) {
  if (count != 3) return 2;
  const rlim_t bytes = static_cast<rlim_t>(std::atoll(values[2])) << 20;
  const rlimit limit{bytes, bytes};
  if (setrlimit(RLIMIT_AS, &limit) != 0) return 3;
  vwn::setThreadCount(std::atoi(values[1]));
  constexpr int64_t tasks = 1000;
  std::atomic<int64_t> sum{0};
  std::atomic<int> most{0};
  for (int round = 0; round < 3; round++)
    vwn::parallelFor(tasks, [&](int64_t task, int thread) {
      sum += task;
      for (int seen = most; thread > seen && !most.compare_exchange_weak(seen, thread);) {
      }
    });
  const bool isWhole = sum == 3 * tasks * (tasks - 1) / 2, isCounted = most < vwn::threadCount();
  std::printf("%s by %d threads%s\n", isWhole ? "all tasks" : "not all tasks", vwn::threadCount(), isCounted ? "" : ", and others");
  return 0;
}
