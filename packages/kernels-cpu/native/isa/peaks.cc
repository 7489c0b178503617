/** What this machine reaches at best: multiply-adds from registers, and copies between memories larger than caches. */
#include <chrono>

#include "amx-registers.h"
#include "call.h"
#include "kernels.h"
#include "rows.h"

namespace vwn {
namespace VWN_ISA {
namespace {

using Clock = std::chrono::steady_clock;
double secondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/** Independent sums: latency times throughput of any processor's multiply-add, and they fit its registers. */
constexpr int sums = W == 16 ? 24 : 12;
constexpr int64_t rounds = 4096;

/** `rounds` multiply-adds for each sum. The inputs come from outside, so that nothing can be worked out beforehand. */
__attribute__((noinline)) vf fmaRounds(vf a, vf b) {
  vf sum[sums];
  for (int i = 0; i < sums; i++) sum[i] = a * static_cast<float>(i);
  for (int64_t round = 0; round < rounds; round++)
#pragma GCC unroll 24
    for (int i = 0; i < sums; i++) sum[i] = sum[i] * a + b;
  vf total = {};
  for (int i = 0; i < sums; i++) total += sum[i];
  return total;
}

#if defined(__AVX512BF16__)
__attribute__((noinline)) vf dotRounds(vf a, vf b) {
  __m512 sum[sums];
  for (int i = 0; i < sums; i++) sum[i] = (__m512)(a * static_cast<float>(i));
  for (int64_t round = 0; round < rounds; round++)
#pragma GCC unroll 24
    for (int i = 0; i < sums; i++) sum[i] = _mm512_dpbf16_ps(sum[i], (__m512bh)a, (__m512bh)b);
  vf total = {};
  for (int i = 0; i < sums; i++) total += (vf)sum[i];
  return total;
}
#endif

/** Best rate of all threads together over `seconds`, in units a second; work() does `units` of them on one thread. */
#if defined(__AMX_BF16__)
/** `rounds` products of tiles for each of four sums. */
__attribute__((noinline)) void amxRounds() {
  const AmxScope amx;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (int64_t round = 0; round < rounds; round++) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
}
#endif

template <class Work>
double bestRate(double seconds, double units, const Work &work) {
  const auto begin = Clock::now();
  double best = 0;
  do {
    const auto start = Clock::now();
    parallelFor(threadCount(), [&](int64_t index, int) { work(index); });
    const double rate = units * threadCount() / secondsSince(start);
    best = rate > best ? rate : best;
  } while (secondsSince(begin) < seconds);
  return best;
}

/** GFLOP of a call of the functions above whose sums take `each` a lane. */
constexpr double workOfRounds(int each) { return static_cast<double>(rounds) * sums * W * each / 1e9; }

/** GFLOP/s of bf16 operands; 0 where the processor has no instruction for them. */
double rateOfHalves([[maybe_unused]] double seconds, [[maybe_unused]] vf a, [[maybe_unused]] vf b) {
#if defined(__AMX_BF16__)
  constexpr double gigaFlops = static_cast<double>(rounds) * 4 * (16 * 16 * 32) * 2 / 1e9;
  if (usesAmx()) return bestRate(seconds, gigaFlops, [](int64_t) { amxRounds(); });
#endif
#if defined(__AVX512BF16__)
  volatile float keep = 0;
  return bestRate(seconds, workOfRounds(4), [&](int64_t) { keep = sumLanes(dotRounds(a, b)); });
#else
  return 0;
#endif
}

}  // namespace

/**
 * Buffers: result float32 [3]: GFLOP/s in float32, GFLOP/s in bf16 (0 without such instructions), GB/s copied (bytes
 * read and bytes written both count); from, to float32 of one size, larger than the caches. Numbers: milliseconds each.
 */
const char *measure_peaks(const vwn_call *raw) {
  Call call(raw, 3, 1);
  const int64_t size = call.size(1);
  float *result = call.floats(0, 3), *from = call.floats(1, size), *to = call.floats(2, size);
  if (call.problem()) return call.problem();
  const double seconds = call.exact(0) >= 0 && call.exact(0) < 60000 ? call.exact(0) / 1000 : 0;
  volatile float keep = 0.999f;
  const vf a = splat(keep), b = splat(1.0f - keep);
  result[0] = static_cast<float>(bestRate(seconds, workOfRounds(2), [&](int64_t) { keep = sumLanes(fmaRounds(a, b)); }));
  result[1] = static_cast<float>(rateOfHalves(seconds, a, b));
  const int64_t threads = threadCount();
  const auto copy = [&](int64_t index) {
    const Range range = part(size, threads, index);
    std::memcpy(to + range.begin, from + range.begin, static_cast<size_t>(range.end - range.begin) * 4);
  };
  // Pages that were never written are mapped on first use, and until then all of them read as one page of zeros.
  parallelFor(threads, [&](int64_t index, int) {
    const Range range = part(size, threads, index);
    std::memset(from + range.begin, 1, static_cast<size_t>(range.end - range.begin) * 4);
    copy(index);
  });
  result[2] = static_cast<float>(bestRate(seconds, 8e-9 * static_cast<double>(size) / static_cast<double>(threads), copy));
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
