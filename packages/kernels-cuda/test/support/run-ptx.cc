/**
 * Runs a kernel of a file of PTX on the driver that it is linked with, and prints the words of its one argument, a buffer that
 * began as 0, 1, 2 … or with what is told; or why it did not run.
 *
 *   run-ptx file kernel blocks threads sharedBytes words [first words …]
 */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <sstream>
#include <vector>

extern "C" {
int cuInit(unsigned);
int cuGetErrorString(int, const char **);
int cuModuleLoadData(void **, const void *);
int cuModuleGetFunction(void **, void *, const char *);
int cuFuncSetAttribute(void *, int, int);
int cuMemAlloc_v2(unsigned long long *, size_t);
int cuMemcpyHtoDAsync_v2(unsigned long long, const void *, size_t, void *);
int cuMemcpyDtoHAsync_v2(void *, unsigned long long, size_t, void *);
int cuLaunchKernel(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **, void **);
}

namespace {
void check(int result) {
  if (result == 0) return;
  const char *text = "";
  cuGetErrorString(result, &text);
  std::printf("error %d: %s\n", result, text);
  std::exit(0);
}
}  // namespace

int main(int count, char **arguments) {
  std::stringstream text;
  text << std::ifstream(arguments[1]).rdbuf();
  const auto number = [&](int i) { return static_cast<unsigned>(std::atoi(arguments[i])); };
  std::vector<uint32_t> words(number(6));
  std::iota(words.begin(), words.end(), 0u);
  for (int i = 7; i < count; i++) words[static_cast<size_t>(i - 7)] = static_cast<uint32_t>(std::strtoul(arguments[i], nullptr, 10));
  void *module = nullptr, *function = nullptr;
  check(cuInit(0));
  check(cuModuleLoadData(&module, text.str().c_str()));
  check(cuModuleGetFunction(&function, module, arguments[2]));
  check(cuFuncSetAttribute(function, 8, std::atoi(arguments[5])));
  unsigned long long buffer = 0;
  check(cuMemAlloc_v2(&buffer, 4 * words.size()));
  check(cuMemcpyHtoDAsync_v2(buffer, words.data(), 4 * words.size(), nullptr));
  void *values[] = {&buffer};
  check(cuLaunchKernel(function, number(3), 1, 1, number(4), 1, 1, number(5), nullptr, values, nullptr));
  check(cuMemcpyDtoHAsync_v2(words.data(), buffer, 4 * words.size(), nullptr));
  for (const uint32_t word : words) std::printf("%u ", word);
}
