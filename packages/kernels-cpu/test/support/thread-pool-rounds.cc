/**
 * rounds THREADS ROUNDS: runs as many tasks at once as there are threads, again and again. A task waits until all of its
 * round have begun, so a round ends only if every thread takes one. Says in which round a thread stayed away.
 */
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "../../native/threads.h"

using Clock = std::chrono::steady_clock;

/** Long enough for a machine whose processors have other work. */
constexpr auto longest = std::chrono::seconds(20);

/** Between rounds: mostly nothing, sometimes as long as JavaScript takes, sometimes so long that workers sleep. */
void pause(int round) {
  const int microseconds = round % 100 == 0 ? 1000 : round % 4 == 0 ? round % 61 : 0;
  const Clock::time_point end = Clock::now() + std::chrono::microseconds(microseconds);
  while (Clock::now() < end) std::this_thread::yield();
}

int main(int count, char **values) {
  if (count != 3) return 2;
  const int threads = std::atoi(values[1]), rounds = std::atoi(values[2]);
  vwn::setThreadCount(threads);
  for (int round = 0; round < rounds; round++) {
    std::atomic<int> begun{0}, late{0};
    vwn::parallelFor(threads, [&](int64_t, int) {
      begun++;
      const Clock::time_point end = Clock::now() + longest;
      while (begun < threads && late == 0) {
        std::this_thread::yield();
        if (Clock::now() > end) late++;
      }
    });
    if (late > 0) {
      std::printf("a thread sat out round %d of %d\n", round, rounds);
      return 0;
    }
    pause(round);
  }
  std::printf("all threads took part in %d rounds\n", rounds);
  return 0;
}
