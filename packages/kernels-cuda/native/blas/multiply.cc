#include "multiply.h"

#include <array>
#include <map>
#include <stdexcept>
#include <string>

#include "../runtime.h"
#include "cublaslt.h"

namespace vwn {
namespace cuda {
namespace {

/** What NVIDIA advises for Hopper; smaller GPUs need no more. */
constexpr int64_t workspaceBytes = int64_t{32} << 20;
/** Evaluation brings new shapes all the time: beyond this many, plans are made again. */
constexpr size_t mostPlans = 1024;

void check(int status, const char *what) {
  if (status == 0) return;
  throw std::runtime_error(std::string("cuBLASLt cannot ") + what + ": status " + std::to_string(status) +
                           "; with VWN_CUBLASLT=none products are made without it");
}

/** A matrix as it lies in memory, column by column as cuBLASLt sees it: `rows` neighbours, `columns` times. */
struct Stored {
  int64_t type, rows, columns, ld, stride, alignment;
  bool operator<(const Stored &other) const { return all() < other.all(); }
  std::array<int64_t, 6> all() const { return {type, rows, columns, ld, stride, alignment}; }
};

/** The greatest power of two, 256 at most, that every matrix of a batch begins on. */
int64_t alignmentOf(const void *data, int64_t strideBytes) {
  const uint64_t bits = reinterpret_cast<uintptr_t>(data) | static_cast<uint64_t>(strideBytes) | 256;
  return static_cast<int64_t>(bits & (~bits + 1));
}

/** `rows` × `columns` as they lie, one row after the other. */
Stored storedAs(const void *data, int32_t type, int64_t rows, int64_t columns, int64_t ld, int64_t stride) {
  return {type, columns, rows, ld, stride, alignmentOf(data, stride * (type == VWN_BF16 ? 2 : 4))};
}

Stored storedOf(const Matrix &m, int64_t rows, int64_t columns) {
  return storedAs(m.data, m.type, m.transposed ? columns : rows, m.transposed ? rows : columns, m.ld, m.stride);
}

/** What a plan is made for. The left factor is B: cuBLASLt computes Cᵀ = Bᵀ·Aᵀ, which lies as C row by row. */
struct Wanted {
  Stored left, right, result;
  int64_t batch;
  bool transposeLeft, transposeRight, accumulate;
  auto all() const {
    return std::make_pair(std::array<std::array<int64_t, 6>, 3>{left.all(), right.all(), result.all()},
                          std::array<int64_t, 4>{batch, transposeLeft, transposeRight, accumulate});
  }
  bool operator<(const Wanted &other) const { return all() < other.all(); }
};

struct Plan {
  OperationOfLt *operation = nullptr;
  LayoutOfLt *left = nullptr, *right = nullptr, *result = nullptr;
  HeuristicOfLt chosen{};
  bool exists = false;
};

HandleOfLt *handle() {
  static HandleOfLt *only = nullptr;
  if (!only) check(cublasLt()->create(&only), "be opened");
  return only;
}

LayoutOfLt *layoutOf(const Stored &m, int64_t batch) {
  const CublasLt &library = *cublasLt();
  LayoutOfLt *layout = nullptr;
  check(library.createLayout(&layout, m.type == VWN_BF16 ? lt::bf16 : lt::f32, static_cast<uint64_t>(m.rows),
                             static_cast<uint64_t>(m.columns), m.ld),
        "describe a matrix");
  const int32_t count = static_cast<int32_t>(batch);
  if (batch == 1) return layout;
  check(library.setLayout(layout, lt::batchCount, &count, sizeof count), "describe a batch");
  check(library.setLayout(layout, lt::batchStride, &m.stride, sizeof m.stride), "describe a batch");
  return layout;
}

/** Looks for an algorithm, for pointers that are aligned no better than those at hand. */
void choose(const Wanted &wanted, Plan &plan) {
  const CublasLt &library = *cublasLt();
  PreferenceOfLt *preference = nullptr;
  check(library.createPreference(&preference), "describe a preference");
  const uint64_t bytes = workspaceBytes;
  check(library.setPreference(preference, lt::workspaceBytes, &bytes, sizeof bytes), "describe a preference");
  const std::pair<int, int64_t> alignments[] = {{lt::alignmentA, wanted.left.alignment},
                                                {lt::alignmentB, wanted.right.alignment},
                                                {lt::alignmentC, wanted.result.alignment},
                                                {lt::alignmentD, wanted.result.alignment}};
  for (const auto &[attribute, alignment] : alignments) {
    const uint32_t value = static_cast<uint32_t>(alignment);
    check(library.setPreference(preference, attribute, &value, sizeof value), "describe a preference");
  }
  int count = 0;
  const int status = library.heuristic(handle(), plan.operation, plan.left, plan.right, plan.result, plan.result, preference,
                                       1, &plan.chosen, &count);
  library.destroyPreference(preference);
  if (status != lt::notSupported) check(status, "choose an algorithm");
  plan.exists = status == 0 && count > 0 && plan.chosen.status == 0;
}

Plan planOf(const Wanted &wanted) {
  const CublasLt &library = *cublasLt();
  Plan plan;
  check(library.createOperation(&plan.operation, lt::computeF32, lt::f32), "describe a product");
  const int32_t transpose = lt::transpose;
  if (wanted.transposeLeft)
    check(library.setOperation(plan.operation, lt::transposeA, &transpose, sizeof transpose), "describe a product");
  if (wanted.transposeRight)
    check(library.setOperation(plan.operation, lt::transposeB, &transpose, sizeof transpose), "describe a product");
  plan.left = layoutOf(wanted.left, wanted.batch);
  plan.right = layoutOf(wanted.right, wanted.batch);
  plan.result = layoutOf(wanted.result, wanted.batch);
  choose(wanted, plan);
  return plan;
}

void destroy(const Plan &plan) {
  const CublasLt &library = *cublasLt();
  library.destroyOperation(plan.operation);
  for (LayoutOfLt *layout : {plan.left, plan.right, plan.result}) library.destroyLayout(layout);
}

const Plan &planFor(const Wanted &wanted) {
  static std::map<Wanted, Plan> plans;
  const auto found = plans.find(wanted);
  if (found != plans.end()) return found->second;
  if (plans.size() >= mostPlans) {
    for (const auto &[key, plan] : plans) destroy(plan);
    plans.clear();
  }
  return plans.emplace(wanted, planOf(wanted)).first->second;
}

}  // namespace

bool multiply(const Product &p) {
  const auto &[K, a, b] = p.each[0];
  // Sums of float32 operands are rounded to bf16 by own kernels only.
  if (!cublasLt() || a.type != b.type || (a.type == VWN_F32 && p.type == VWN_BF16)) return false;
  const Wanted wanted{storedOf(b, K, p.N),
                      storedOf(a, p.M, K),
                      storedAs(p.c, p.type, p.M, p.N, p.N, p.strideC),
                      p.batch,
                      b.transposed != 0,
                      a.transposed != 0,
                      p.accumulate != 0};
  const Plan &plan = planFor(wanted);
  if (!plan.exists) return false;
  const float one = 1, kept = p.accumulate ? 1.0f : 0.0f;
  check(cublasLt()->matmul(handle(), plan.operation, &one, b.data, plan.left, a.data, plan.right, &kept, p.c, plan.result, p.c,
                           plan.result, &plan.chosen.algorithm, scratch(Slot::workspace, workspaceBytes), workspaceBytes,
                           workStream()),
        "multiply");
  return true;
}

}  // namespace cuda
}  // namespace vwn
