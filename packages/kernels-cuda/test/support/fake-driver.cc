/**
 * A CUDA driver without a GPU, for tests of the loader: memory is the host's, kernels do nothing, and FAKE_CUDA says what
 * is wrong: no-gpu, old, no-kernels, no-memory, broken-before (a kernel, so that none is found), broken-kernel, wrong-products,
 * wrong-clusters, wrong-turns, no-capture, broken-capture or broken-graph; or that the GPU is newer than compute capability 9.0.
 * FAKE_CUDA_LOG names a file that gets a line for each launch of a kernel or of a graph.
 */
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {
bool isWrong(const char *what) {
  const char *wrong = std::getenv("FAKE_CUDA");
  return wrong && std::strcmp(wrong, what) == 0;
}
int something;

template <class T>
void note(const char *format, T value) {
  const char *log = std::getenv("FAKE_CUDA_LOG");
  if (FILE *file = log ? std::fopen(log, "a") : nullptr) std::fprintf(file, format, value), std::fclose(file);
}

bool isCapturing;
struct Graph {
  int launches = 0;
};
Graph captured;
}  // namespace

extern "C" {
int cuInit(unsigned) { return 0; }
int cuGetErrorString(int code, const char **text) {
  *text = code == 700   ? "an illegal memory access was encountered"
          : code == 209 ? "no kernel image is available"
          : code == 900 ? "operation not permitted when stream is capturing"
          : code == 901 ? "operation failed due to a previous error during capture"
                        : "unknown";
  return 0;
}
int cuDeviceGetCount(int *count) {
  *count = isWrong("no-gpu") ? 0 : 1;
  return 0;
}
int cuDeviceGet(int *device, int) {
  *device = 0;
  return 0;
}
int cuDeviceGetName(char *name, int bytes, int) {
  std::strncpy(name, "Imaginary GPU", static_cast<size_t>(bytes));
  return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int) {
  *value = attribute == 75 ? (isWrong("old") ? 7 : isWrong("newer") ? 10 : 9) : attribute == 76 ? (isWrong("old") ? 5 : 0) : attribute == 16 ? 132 : 227 << 10;
  return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int) {
  *bytes = size_t{80} << 30;
  return 0;
}
int cuDevicePrimaryCtxRetain(void **context, int) {
  *context = &something;
  return 0;
}
int cuCtxSetCurrent(void *) { return 0; }
int cuModuleLoadData(void **module, const void *) {
  *module = &something;
  return isWrong("no-kernels") ? 209 : 0;
}
/** A function is its name. */
int cuModuleGetFunction(char **function, void *, const char *name) {
  if (isWrong("broken-before")) return 700;
  *function = strdup(name);
  return 0;
}
int cuFuncSetAttribute(void *, int, int) { return 0; }
int cuStreamCreate(void **stream, unsigned) {
  *stream = &something;
  return 0;
}
int cuStreamSynchronize(void *) { return 0; }
int cuMemAlloc_v2(unsigned long long *address, size_t bytes) {
  if (isCapturing) return 900;
  if (isWrong("no-memory")) return 2;
  *address = reinterpret_cast<unsigned long long>(std::malloc(bytes));
  return 0;
}
int cuMemFree_v2(unsigned long long address) {
  std::free(reinterpret_cast<void *>(address));
  return 0;
}
int cuMemsetD8Async(unsigned long long address, unsigned char value, size_t bytes, void *) {
  std::memset(reinterpret_cast<void *>(address), value, bytes);
  return 0;
}
int cuMemcpyHtoDAsync_v2(unsigned long long to, const void *from, size_t bytes, void *) {
  std::memcpy(reinterpret_cast<void *>(to), from, bytes);
  return 0;
}
int cuMemcpyDtoHAsync_v2(void *to, unsigned long long from, size_t bytes, void *) {
  if (isCapturing) return 900;
  std::memcpy(to, reinterpret_cast<void *>(from), bytes);
  return 0;
}
int cuLaunchKernel(const char *name, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **arguments, void **) {
  const auto isOf = [&](const char *wrong, const char *check) { return isWrong(wrong) && std::strcmp(name, check) == 0; };
  if (isOf("wrong-products", "warpgroupCheck_f32") || isOf("wrong-clusters", "clusterCheck_f32") || isOf("wrong-turns", "turnCheck_f32"))
    **static_cast<int **>(arguments[0]) = 1;
  if (isCapturing) captured.launches++;
  else note("kernel %s\n", name);
  return isWrong("broken-kernel") ? 700 : 0;
}
int cuStreamBeginCapture_v2(void *, int) {
  if (isCapturing || isWrong("no-capture")) return 900;
  isCapturing = true;
  captured = {};
  return 0;
}
int cuStreamEndCapture(void *, Graph **graph) {
  *graph = nullptr;
  if (!isCapturing) return 901;
  isCapturing = false;
  if (isWrong("broken-capture")) return 901;
  *graph = new Graph(captured);
  return 0;
}
int cuGraphInstantiateWithFlags(Graph **executable, const Graph *graph, unsigned long long) {
  *executable = new Graph(*graph);
  return 0;
}
int cuGraphLaunch(const Graph *executable, void *) {
  note("graph of %d\n", executable->launches);
  return isWrong("broken-graph") ? 700 : 0;
}
int cuGraphDestroy(Graph *graph) {
  delete graph;
  return 0;
}
int cuGraphExecDestroy(Graph *executable) {
  delete executable;
  return 0;
}
}
