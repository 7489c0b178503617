/** The library's own thread pool: as many threads as VWN_NUM_THREADS or the process's CPUs (affinity and cgroup quota). */
#pragma once
#include <cstdint>
#include <string>

namespace vwn {

/** Called with a task's index, and with the index of the thread that runs it, 0 … threadCount() − 1. */
using TaskFunction = void (*)(void *context, int64_t task, int thread);

int threadCount();

/** What is wrong with VWN_NUM_THREADS; empty where nothing is. */
std::string threadsProblem();

/** Sets the number of threads (1 … 256); joins those that are no longer needed. Not to be called from a task. */
void setThreadCount(int threads);

void runTasks(int64_t tasks, TaskFunction function, void *context);

/**
 * Runs body(task, thread) for each task, in any order and on any thread. Results must not depend on either: tasks
 * write to places of their own, and sums over tasks are made afterwards in the order of tasks.
 */
template <class Body>
void parallelFor(int64_t tasks, const Body &body) {
  if (tasks <= 0) return;
  if (tasks == 1) return body(0, 0);
  runTasks(
      tasks, [](void *context, int64_t task, int thread) { (*static_cast<const Body *>(context))(task, thread); },
      const_cast<Body *>(&body));
}

}  // namespace vwn
