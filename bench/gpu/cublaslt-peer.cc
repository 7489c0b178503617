/**
 * Times the products of linear layers by cuBLASLt called from C++; built and run by cublaslt-peer.mjs.
 *   cublaslt-peer TURNS REPEAT ROWS WIDTH OUT [ROWS WIDTH OUT …]
 * Of bf16 x [ROWS, WIDTH], W [OUT, WIDTH] and dy [ROWS, OUT], summed in float32: forward y = x·Wᵀ in bf16; backward dx = dy·W
 * in bf16 and dW = dyᵀ·x in float32, one after the other. Prints JSON: the library, and for each shape milliseconds with the
 * `first` algorithms of the heuristic and with the `best` of its first 8, and which these were (of y, dx, dW). Each is the
 * median of TURNS turns of REPEAT launches by the host's clock, after one that does not count, as kernels.mjs times ours.
 */
#include <cublasLt.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

/** As ours has it: native/blas/multiply.cc of kernels-cuda. */
constexpr size_t workspaceBytes = size_t{32} << 20;
constexpr int mostAlgorithms = 8;

void check(cudaError_t status, const char *what) {
  if (status != cudaSuccess) throw std::runtime_error(std::string("CUDA cannot ") + what + ": " + cudaGetErrorString(status));
}

void check(cublasStatus_t status, const char *what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw std::runtime_error(std::string("cuBLASLt cannot ") + what + ": " + cublasLtGetStatusString(status));
}

struct DeviceMemory {
  void *data = nullptr;
  explicit DeviceMemory(size_t bytes) { check(cudaMalloc(&data, bytes), "allocate memory"); }
  ~DeviceMemory() { cudaFree(data); }
  DeviceMemory(const DeviceMemory &) = delete;
  DeviceMemory &operator=(const DeviceMemory &) = delete;
};

/** A matrix whose rows lie one after the other. */
struct Matrix {
  int64_t rows, columns;
  cudaDataType_t type;
  DeviceMemory memory;
  Matrix(int64_t height, int64_t width, cudaDataType_t of = CUDA_R_16BF)
      : rows(height), columns(width), type(of), memory(static_cast<size_t>(height * width) * (of == CUDA_R_16BF ? 2 : 4)) {}

  /** bf16 numbers between -0.5 and 0.5: with zeros a GPU needs less power and is faster. */
  void randomize() {
    std::vector<uint16_t> halves(static_cast<size_t>(rows * columns));
    uint32_t state = 1;
    for (uint16_t &each : halves) {
      const float value = static_cast<float>((state = state * 1664525u + 1013904223u) >> 8) / 16777216.0f - 0.5f;
      uint32_t bits;
      std::memcpy(&bits, &value, 4);
      each = static_cast<uint16_t>(bits >> 16);
    }
    check(cudaMemcpy(memory.data, halves.data(), halves.size() * 2, cudaMemcpyHostToDevice), "copy operands");
  }
};

struct Gpu {
  cublasLtHandle_t handle = nullptr;
  cudaStream_t stream = nullptr;
  DeviceMemory workspace{workspaceBytes};
  Gpu() {
    check(cudaStreamCreate(&stream), "create a stream");
    check(cublasLtCreate(&handle), "be opened");
  }
};

cublasLtMatrixLayoutOpaque_t layoutOf(const Matrix &m) {
  cublasLtMatrixLayoutOpaque_t layout;
  check(cublasLtMatrixLayoutInit(&layout, m.type, static_cast<uint64_t>(m.columns), static_cast<uint64_t>(m.rows), m.columns),
        "describe a matrix");
  return layout;
}

/** C = A·B, either of which may stand transposed. cuBLASLt sees columns and makes Cᵀ = Bᵀ·Aᵀ, so B is its left factor. */
class Product {
 public:
  Product(const Gpu &on, const Matrix &a, bool transposeA, const Matrix &b, bool transposeB, Matrix &c)
      : gpu(on), left(b.memory.data), right(a.memory.data), result(c.memory.data), leftLayout(layoutOf(b)),
        rightLayout(layoutOf(a)), resultLayout(layoutOf(c)) {
    check(cublasLtMatmulDescInit(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describe a product");
    const cublasOperation_t transpose = CUBLAS_OP_T;
    if (transposeB) set(CUBLASLT_MATMUL_DESC_TRANSA, transpose);
    if (transposeA) set(CUBLASLT_MATMUL_DESC_TRANSB, transpose);
    findAlgorithms();
  }
  Product(const Product &) = delete;
  Product &operator=(const Product &) = delete;

  size_t algorithms() const { return found.size(); }
  void launch(size_t algorithm) {
    const float one = 1, none = 0;
    check(cublasLtMatmul(gpu.handle, &operation, &one, left, &leftLayout, right, &rightLayout, &none, result, &resultLayout,
                         result, &resultLayout, &found[algorithm].algo, gpu.workspace.data, workspaceBytes, gpu.stream),
          "multiply");
  }

 private:
  const Gpu &gpu;
  const void *left, *right;
  void *result;
  cublasLtMatmulDescOpaque_t operation;
  cublasLtMatrixLayoutOpaque_t leftLayout, rightLayout, resultLayout;
  std::vector<cublasLtMatmulHeuristicResult_t> found;

  void set(cublasLtMatmulDescAttributes_t attribute, const cublasOperation_t &value) {
    check(cublasLtMatmulDescSetAttribute(&operation, attribute, &value, sizeof value), "describe a product");
  }
  void findAlgorithms() {
    cublasLtMatmulPreferenceOpaque_t preference;
    check(cublasLtMatmulPreferenceInit(&preference), "describe a preference");
    const uint64_t bytes = workspaceBytes;
    check(cublasLtMatmulPreferenceSetAttribute(&preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes),
          "describe a preference");
    found.resize(mostAlgorithms);
    int count = 0;
    check(cublasLtMatmulAlgoGetHeuristic(gpu.handle, &operation, &leftLayout, &rightLayout, &resultLayout, &resultLayout,
                                         &preference, mostAlgorithms, found.data(), &count),
          "choose an algorithm");
    found.resize(static_cast<size_t>(count));
    found.erase(std::remove_if(found.begin(), found.end(), [](const auto &each) { return each.state != CUBLAS_STATUS_SUCCESS; }),
                found.end());
    if (found.empty()) throw std::runtime_error("cuBLASLt has no algorithm for a product");
  }
};

struct Plan {
  int64_t turns, repeat;
};

/** What is launched one after the other. */
struct Launch {
  Product &product;
  size_t algorithm;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double milliseconds(const Gpu &gpu, const Plan &plan, const std::vector<Launch> &launches) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> times;
  for (int64_t turn = -1; turn < plan.turns; turn++) {
    const auto start = Clock::now();
    for (int64_t i = 0; i < plan.repeat; i++)
      for (const auto &[product, algorithm] : launches) product.launch(algorithm);
    check(cudaStreamSynchronize(gpu.stream), "wait for products");
    const std::chrono::duration<double, std::milli> passed = Clock::now() - start;
    if (turn >= 0) times.push_back(passed.count() / static_cast<double>(plan.repeat));
  }
  return median(times);
}

size_t fastest(const Gpu &gpu, const Plan &plan, Product &product) {
  size_t best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < product.algorithms(); i++) {
    const double time = milliseconds(gpu, plan, {{product, i}});
    if (time < least) best = i, least = time;
  }
  return best;
}

void timeShape(const Gpu &gpu, const Plan &plan, int64_t rows, int64_t width, int64_t out) {
  Matrix x(rows, width), weight(out, width), dy(rows, out), y(rows, out), dx(rows, width), dWeight(out, width, CUDA_R_32F);
  for (Matrix *operand : {&x, &weight, &dy}) operand->randomize();
  Product forward(gpu, x, false, weight, true, y), toInput(gpu, dy, false, weight, false, dx),
      toWeight(gpu, dy, true, x, false, dWeight);
  const auto print = [&](const char *name, size_t ofY, size_t ofDx, size_t ofDWeight) {
    const double ahead = milliseconds(gpu, plan, {{forward, ofY}});
    const double back = milliseconds(gpu, plan, {{toInput, ofDx}, {toWeight, ofDWeight}});
    std::printf("\"%s\":{\"forward_ms\":%.4f,\"backward_ms\":%.4f,\"algorithms\":[%zu,%zu,%zu]}", name, ahead, back, ofY,
                ofDx, ofDWeight);
  };
  std::printf("{");
  print("first", 0, 0, 0);
  std::printf(",");
  print("best", fastest(gpu, plan, forward), fastest(gpu, plan, toInput), fastest(gpu, plan, toWeight));
  std::printf("}");
}

int64_t wholeNumber(const char *text) {
  char *end = nullptr;
  const long value = std::strtol(text, &end, 10);
  if (*end || value < 1) throw std::runtime_error(std::string("expected a whole number of at least 1, got ") + text);
  return value;
}

void run(const std::vector<int64_t> &numbers) {
  const Gpu gpu;
  const Plan plan{numbers[0], numbers[1]};
  const size_t version = cublasLtGetVersion(); /* 130101: 13.1.1 */
  std::printf("{\"library\":\"cuBLASLt %zu.%zu\",\"shapes\":[", version / 10000, version / 100 % 100);
  for (size_t i = 2; i < numbers.size(); i += 3) {
    if (i > 2) std::printf(",");
    timeShape(gpu, plan, numbers[i], numbers[i + 1], numbers[i + 2]);
  }
  std::printf("]}\n");
}

}  // namespace

int main(int count, char **arguments) {
  if (count < 6 || count % 3 != 0)
    return std::fprintf(stderr, "expected TURNS REPEAT and ROWS WIDTH OUT of each shape, got %d arguments\n", count - 1), 2;
  try {
    std::vector<int64_t> numbers;
    for (int i = 1; i < count; i++) numbers.push_back(wholeNumber(arguments[i]));
    run(numbers);
  } catch (const std::exception &error) {
    return std::fprintf(stderr, "%s\n", error.what()), 1;
  }
}
