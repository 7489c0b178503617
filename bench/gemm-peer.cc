/**
 * Times matrix products of OpenBLAS or oneDNN; built and run by gemm.mjs, one of -DOPENBLAS and -DONEDNN.
 *   gemm-peer fp32|bf16 SECONDS M N K TRANSPOSE_A TRANSPOSE_B
 * Row-major C[M, N] = A·B, C in float32; a transposed A stands as [K, M]. Prints GFLOP/s: the best of runs of SECONDS/10;
 * exits with 3 where the library has no such product for this processor (oneDNN has bf16 from AVX-512 on).
 */
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#if defined(OPENBLAS)
#include <cblas.h>
#else
#include <oneapi/dnnl/dnnl.hpp>
#endif

namespace {

struct Shape {
  long M, N, K;
  bool ta, tb;
};

std::vector<float> numbers(size_t size) {
  std::vector<float> values(size);
  uint32_t state = 1;
  for (float &each : values) each = static_cast<float>((state = state * 1664525u + 1013904223u) >> 8) / 16777216.0f - 0.5f;
  return values;
}

#if defined(OPENBLAS)
std::function<void()> product(const Shape &s, bool) {
  static std::vector<float> a = numbers(s.M * s.K), b = numbers(s.K * s.N), c(s.M * s.N);
  return [&s] {
    cblas_sgemm(CblasRowMajor, s.ta ? CblasTrans : CblasNoTrans, s.tb ? CblasTrans : CblasNoTrans, s.M, s.N, s.K, 1.0f, a.data(),
                s.ta ? s.M : s.K, b.data(), s.tb ? s.K : s.N, 0.0f, c.data(), s.N);
  };
}
#else
std::function<void()> product(const Shape &s, bool halves) {
  using namespace dnnl;
  using type = memory::data_type;
  static engine cpu(engine::kind::cpu, 0);
  static stream queue(cpu);
  const type operand = halves ? type::bf16 : type::f32;
  const memory::dims of_a = s.ta ? memory::dims{1, s.M} : memory::dims{s.K, 1}, of_b = s.tb ? memory::dims{1, s.K} : memory::dims{s.N, 1};
  const memory::desc a({s.M, s.K}, operand, of_a), b({s.K, s.N}, operand, of_b), c({s.M, s.N}, type::f32, memory::dims{s.N, 1});
#if DNNL_VERSION_MAJOR >= 3
  static matmul primitive(matmul::primitive_desc(cpu, a, b, c));
#else
  static matmul primitive(matmul::primitive_desc(matmul::desc(a, b, c), cpu));
#endif
  static memory A(a, cpu), B(b, cpu), C(c, cpu);
  const std::vector<float> from_a = numbers(s.M * s.K), from_b = numbers(s.K * s.N);
  const auto fill = [&](memory &to, const std::vector<float> &from) {
    for (size_t i = 0; i < from.size(); i++) {
      uint32_t bits;
      std::memcpy(&bits, &from[i], 4);
      if (halves) static_cast<uint16_t *>(to.get_data_handle())[i] = static_cast<uint16_t>(bits >> 16);
      else static_cast<float *>(to.get_data_handle())[i] = from[i];
    }
  };
  fill(A, from_a);
  fill(B, from_b);
  return [] {
    primitive.execute(queue, {{DNNL_ARG_SRC, A}, {DNNL_ARG_WEIGHTS, B}, {DNNL_ARG_DST, C}});
    queue.wait();
  };
}
#endif

double best_rate(const Shape &s, bool halves, double seconds) {
  const std::function<void()> run = product(s, halves);
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); };
  for (int i = 0; i < 3; i++) run();
  double best = 0;
  for (int part = 0; part < 10; part++) {
    const auto start = Clock::now();
    long runs = 0;
    do run(), runs++;
    while (since(start) < seconds / 10);
    const double rate = 2e-9 * static_cast<double>(s.M * s.N * s.K) * static_cast<double>(runs) / since(start);
    best = rate > best ? rate : best;
  }
  return best;
}

}  // namespace

int main(int count, char **arguments) {
  if (count != 8) return std::fprintf(stderr, "seven arguments are needed\n"), 2;
  const Shape s{std::atol(arguments[3]), std::atol(arguments[4]), std::atol(arguments[5]), arguments[6][0] == '1', arguments[7][0] == '1'};
  const bool halves = std::strcmp(arguments[1], "bf16") == 0;
#if defined(OPENBLAS)
  std::printf("%.1f\n", best_rate(s, halves, std::atof(arguments[2])));
#else
  try {
    std::printf("%.1f\n", best_rate(s, halves, std::atof(arguments[2])));
  } catch (const dnnl::error &error) {
    return std::fprintf(stderr, "%s\n", error.what()), error.status == dnnl_unimplemented ? 3 : 1;
  }
#endif
}
