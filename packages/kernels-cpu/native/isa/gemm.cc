/**
 * Matrix product: B is packed whole, in parallel; then blocks of C are tasks, each with its own packed part of A where A
 * cannot be read in place. Few rows are multiplied without packing. Every element of C is summed in one fixed order,
 * whatever the number of threads.
 */
#include "gemm.h"

#include <algorithm>
#include <vector>

#include "gemm-amx.h"
#include "gemm-blocks.h"
#include "gemm-few-rows.h"

namespace vwn {
namespace VWN_ISA {
namespace {

/** then(engine) with the one that makes products of `halves` here, or those of float32. */
template <class Then>
bool withEngine(bool halves, const Then &then) {
  if constexpr (hasAmx)
    if (halves && usesAmx()) return then(AmxEngine{});
  if (halves && hasPairs) return then(VectorEngine<hasPairs>{});
  return then(VectorEngine<false>{});
}

bool runGemm(const Product &product, bool parallel, Epilogue epilogue = nullptr, const void *context = nullptr) {
  if (product.M == 0 || product.N == 0) return true;
  if (!epilogue && hasFewRows(product)) return multiplyFewRows(product, parallel), true;
  return withEngine(product.halves, [&](auto engine) {
    return Gemm<decltype(engine)>(product, threadCount(), epilogue, context).run(parallel);
  });
}

/** Floats of packed B that products of a group have at once, or one alone: 16 MiB, which the last cache may hold. */
constexpr int64_t mostPackedAtOnce = int64_t{1} << 22;

/** body(member, task, thread) for all tasks of all members, as many of each as `count` says. */
template <class Member, class Body>
void forAllTasks(bool parallel, const std::vector<Member> &members, int64_t (Member::*count)() const, const Body &body) {
  if (!parallel) {
    for (const Member &each : members)
      for (int64_t task = 0; task < (each.*count)(); task++) body(each, task, 0);
    return;
  }
  std::vector<int64_t> begins{0};
  for (const Member &each : members) begins.push_back(begins.back() + (each.*count)());
  parallelFor(begins.back(), [&](int64_t task, int thread) {
    const auto at = static_cast<size_t>(std::upper_bound(begins.begin(), begins.end(), task) - begins.begin()) - 1;
    body(members[at], task - begins[at], thread);
  });
}

/** Takes products, from `next` on, as long as their packed B fits, and runs them. */
template <class Engine>
bool runSome(const Product *products, int64_t count, int64_t &next, int64_t sharers, bool parallel) {
  std::vector<Gemm<Engine>> members;
  int64_t floats = 0;
  for (; next < count; next++) {
    if (products[next].M == 0 || products[next].N == 0) continue;
    if (hasFewRows(products[next])) break;
    Gemm<Engine> one(products[next], sharers);
    if (!members.empty()) one.borrowFrom(members.back());
    if (!members.empty() && floats + one.packedFloats() > mostPackedAtOnce) break;
    floats += one.packedFloats();
    members.push_back(one);
  }
  float *packed = static_cast<float *>(sharedScratch(Slot::packedB, floats * 4 + 64));
  float *panels = packed;
  for (Gemm<Engine> &each : members) {
    if (!each.isBorrower()) panels = packed;
    if (!packed || !each.reserve(panels)) return false;
    packed += each.packedFloats();
  }
  using Member = Gemm<Engine>;
  const auto pack = [](const Member &each, int64_t panel, int) { each.packB(panel); };
  const auto multiply = [](const Member &each, int64_t task, int thread) { each.block(task, thread); };
  forAllTasks(parallel, members, &Member::panelTasks, pack);
  forAllTasks(parallel, members, &Member::blockTasks, multiply);
  return true;
}

/** Multiply-adds; up to so many are not worth waking the others for. */
constexpr int64_t mostForOneThread = 65536;
int64_t workOf(const Product &product) {
  int64_t depth = product.K;
  for (int64_t i = 0; i < product.otherCount; i++) depth += product.others[i].K;
  return product.M * product.N * depth;
}

int64_t bytesOf(int32_t type) { return type == VWN_BF16 ? 2 : 4; }

}  // namespace

bool gemmInto(const Product &product, Epilogue epilogue, const void *context) {
  return runGemm(product, true, epilogue, context);
}

int64_t columnsOfTask() { return blockColumns; }

bool groupedGemm(const Product *products, int64_t count) {
  // As few parts of each product as give every thread some of them: A is read, and packed, once for each.
  const int64_t threads = threadCount(), sharers = count >= 4 * threads ? 1 : threads;
  int64_t work = 0;
  for (int64_t i = 0; i < count; i++) work += workOf(products[i]);
  const bool parallel = work > mostForOneThread;
  for (int64_t next = 0; next < count;) {
    if (hasFewRows(products[next])) {
      multiplyFewRows(products[next++], parallel);
      continue;
    }
    const bool done = withEngine(products[next].halves, [&](auto engine) {
      return runSome<decltype(engine)>(products, count, next, sharers, parallel);
    });
    if (!done) return false;
  }
  return true;
}

int64_t columnTasksOf(int64_t N) { return (N + blockColumns - 1) / blockColumns; }

bool batchedGemm(const Product &first, const Batch &batch) {
  for (int64_t i = 0; i < batch.count; i++) {
    Product each = first;
    each.a.data = static_cast<const char *>(first.a.data) + i * batch.strideA * bytesOf(first.a.type);
    each.b.data = static_cast<const char *>(first.b.data) + i * batch.strideB * bytesOf(first.b.type);
    each.c = static_cast<char *>(first.c) + i * batch.strideC * bytesOf(first.type);
    if (!runGemm(each, workOf(each) > mostForOneThread)) return false;
  }
  return true;
}

}  // namespace VWN_ISA
}  // namespace vwn
