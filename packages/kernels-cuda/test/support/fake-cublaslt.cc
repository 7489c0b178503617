/**
 * cuBLASLt on the host, as strict as its documentation: matrices column by column, a plan that fits its layouts, pointers
 * aligned as was said. FAKE_CUBLASLT: `picky` has algorithms for operands on 16 bytes only, `empty` has none, `broken`
 * multiplies nothing. FAKE_CUBLASLT_LOG names a file that gets a line for each product.
 */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../../native/emulation/stream.h"

namespace {

constexpr int f32 = 0, half = 14, invalid = 7, unsupported = 15, failed = 13;

struct Operation {
  int compute, scale, transposed[2];
};
struct Layout {
  int type;
  uint64_t rows, columns;
  int64_t ld;
  int32_t batch;
  int64_t stride;
};
struct Preference {
  uint64_t workspace;
  uint32_t alignment[4];
};
struct Algorithm {
  uint64_t magic, workspace, alignment[3];
  const Operation *operation;
  uint64_t rest[2];
};
struct Heuristic {
  Algorithm algorithm;
  size_t workspace;
  int status;
  float waves;
  int reserved[4];
};
static_assert(sizeof(Heuristic) == 64 + 8 + 4 + 4 + 16);
constexpr uint64_t magic = 0x766e77;

bool is(const char *what) {
  const char *how = std::getenv("FAKE_CUBLASLT");
  return how && std::strcmp(how, what) == 0;
}

float at(const Layout &m, const void *data, int64_t batch, uint64_t row, uint64_t column) {
  const int64_t index = batch * m.stride + static_cast<int64_t>(row) + static_cast<int64_t>(column) * m.ld;
  if (m.type == f32) return static_cast<const float *>(data)[index];
  const uint32_t bits = static_cast<uint32_t>(static_cast<const uint16_t *>(data)[index]) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

void put(const Layout &m, void *data, int64_t batch, uint64_t row, uint64_t column, float value) {
  const int64_t index = batch * m.stride + static_cast<int64_t>(row) + static_cast<int64_t>(column) * m.ld;
  if (m.type == f32) {
    static_cast<float *>(data)[index] = value;
    return;
  }
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const bool isNaN = (bits & 0x7fffffff) > 0x7f800000;
  static_cast<uint16_t *>(data)[index] = isNaN ? 0x7fc0 : static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

struct Sizes {
  uint64_t m, n, k;
  bool fit;
};
Sizes sizesOf(const Operation &op, const Layout &a, const Layout &b, const Layout &c) {
  const uint64_t m = op.transposed[0] ? a.columns : a.rows, k = op.transposed[0] ? a.rows : a.columns;
  const uint64_t n = op.transposed[1] ? b.rows : b.columns, inner = op.transposed[1] ? b.columns : b.rows;
  const bool fit = k == inner && m == c.rows && n == c.columns && a.batch == c.batch && b.batch == c.batch && m && n && k;
  return {m, n, k, fit};
}

bool isAligned(const void *data, uint64_t alignment) { return reinterpret_cast<uintptr_t>(data) % alignment == 0; }

const char *nameOf(int type) { return type == f32 ? "f32" : "bf16"; }

/** Copies of all that was said, which may be destroyed before a graph is run. */
struct Multiplication {
  Operation operation;
  Layout layouts[3];
  Sizes sizes;
  float alpha, beta;
  const void *a, *b;
  void *c, *workspace;
  uint64_t workspaceBytes;
};

void note(const Multiplication &all) {
  const char *log = std::getenv("FAKE_CUBLASLT_LOG");
  FILE *file = log ? std::fopen(log, "a") : nullptr;
  if (!file) return;
  const auto &[m, n, k, fit] = all.sizes;
  std::fprintf(file, "%s %s %lux%lux%lu of %d%s\n", nameOf(all.layouts[0].type), nameOf(all.layouts[2].type), n, m, k,
               all.layouts[2].batch, all.beta == 0 ? "" : " added");
  std::fclose(file);
}

void multiply(const Multiplication &all) {
  const auto &[a, b, c] = all.layouts;
  const auto &[transposeA, transposeB] = all.operation.transposed;
  std::memset(all.workspace, 0xff, all.workspaceBytes);
  for (int32_t batch = 0; batch < c.batch; batch++)
    for (uint64_t row = 0; row < all.sizes.m; row++)
      for (uint64_t column = 0; column < all.sizes.n; column++) {
        float sum = 0;
        for (uint64_t k = 0; k < all.sizes.k; k++)
          sum += at(a, all.a, batch, transposeA ? k : row, transposeA ? row : k) *
                 at(b, all.b, batch, transposeB ? column : k, transposeB ? k : column);
        const float before = all.beta == 0 ? 0 : all.beta * at(c, all.c, batch, row, column);
        put(c, all.c, batch, row, column, all.alpha * sum + before);
      }
  note(all);
}

}  // namespace

extern "C" {
size_t cublasLtGetVersion() { return 130101; }
int cublasLtCreate(void **handle) {
  if (is("closed")) return 1;
  static int something;
  *handle = &something;
  return 0;
}
int cublasLtMatmulDescCreate(Operation **operation, int compute, int scale) {
  if (compute != 68 || scale != f32) return invalid;
  *operation = new Operation{compute, scale, {}};
  return 0;
}
int cublasLtMatmulDescDestroy(Operation *operation) {
  delete operation;
  return 0;
}
int cublasLtMatmulDescSetAttribute(Operation *operation, int attribute, const void *value, size_t bytes) {
  if (bytes != 4 || attribute < 3 || attribute > 4) return invalid;
  std::memcpy(&operation->transposed[attribute - 3], value, 4);
  return 0;
}
int cublasLtMatrixLayoutCreate(Layout **layout, int type, uint64_t rows, uint64_t columns, int64_t ld) {
  if ((type != f32 && type != half) || ld < static_cast<int64_t>(rows)) return invalid;
  *layout = new Layout{type, rows, columns, ld, 1, 0};
  return 0;
}
int cublasLtMatrixLayoutDestroy(Layout *layout) {
  delete layout;
  return 0;
}
int cublasLtMatrixLayoutSetAttribute(Layout *layout, int attribute, const void *value, size_t bytes) {
  if (attribute == 5 && bytes == 4) std::memcpy(&layout->batch, value, 4);
  else if (attribute == 6 && bytes == 8) std::memcpy(&layout->stride, value, 8);
  else return invalid;
  return 0;
}
int cublasLtMatmulPreferenceCreate(Preference **preference) {
  *preference = new Preference{0, {256, 256, 256, 256}};
  return 0;
}
int cublasLtMatmulPreferenceDestroy(Preference *preference) {
  delete preference;
  return 0;
}
int cublasLtMatmulPreferenceSetAttribute(Preference *preference, int attribute, const void *value, size_t bytes) {
  if (attribute == 1 && bytes == 8) std::memcpy(&preference->workspace, value, 8);
  else if (attribute >= 5 && attribute <= 8 && bytes == 4) std::memcpy(&preference->alignment[attribute - 5], value, 4);
  else return invalid;
  return 0;
}
int cublasLtMatmulAlgoGetHeuristic(void *, const Operation *operation, const Layout *a, const Layout *b, const Layout *c,
                                   const Layout *d, const Preference *preference, int wanted, Heuristic *found, int *count) {
  *count = 0;
  if (wanted < 1 || !sizesOf(*operation, *a, *b, *c).fit || std::memcmp(c, d, sizeof *c) != 0) return invalid;
  if (a->type != b->type || (a->type == f32 && c->type != f32)) return unsupported;
  const uint32_t *alignment = preference->alignment;
  if (is("empty")) return unsupported;
  if (is("picky") && (alignment[0] < 16 || alignment[1] < 16 || alignment[2] < 16)) return unsupported;
  const uint64_t workspace = preference->workspace / 2;
  *found = {{magic, workspace, {alignment[0], alignment[1], alignment[2]}, operation, {}}, workspace, 0, 1, {}};
  *count = 1;
  return 0;
}
int cublasLtMatmul(void *handle, const Operation *operation, const float *alpha, const void *dataA, const Layout *a,
                   const void *dataB, const Layout *b, const float *beta, const void *dataC, const Layout *c, void *dataD,
                   const Layout *, const Algorithm *plan, void *workspace, size_t workspaceBytes, void *stream) {
  const Sizes sizes = sizesOf(*operation, *a, *b, *c);
  const bool planned = plan && plan->magic == magic && plan->operation == operation && handle;
  if (!planned || !sizes.fit || dataC != dataD || !workspace || workspaceBytes < plan->workspace) return invalid;
  if (!isAligned(dataA, plan->alignment[0]) || !isAligned(dataB, plan->alignment[1]) || !isAligned(dataD, plan->alignment[2]))
    return invalid;
  if (is("broken")) return failed;
  const Multiplication all{*operation, {*a, *b, *c}, sizes, *alpha, *beta, dataA, dataB, dataD, workspace, plan->workspace};
  static_cast<vwn::emulation::Stream *>(stream)->add([all] { multiply(all); });
  return 0;
}
}
