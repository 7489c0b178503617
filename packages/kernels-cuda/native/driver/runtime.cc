/** The device that is a GPU: everything goes to one stream, in the order in which it is asked for. */
#include "../runtime.h"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <vector>

#include "../device-memory.h"
#include "driver-api.h"
#include "images.h"

namespace vwn {
namespace cuda {
namespace {

/** Kernels are compiled for compute capability 8.0 and what follows. */
constexpr int oldestCapability = 80;
/** What every kernel may have without asking. */
constexpr int64_t sharedBytesUnasked = 48 << 10;

/** Of all memory a 64th, from 64 MiB to 1 GiB. */
constexpr int64_t leastChunk = int64_t{64} << 20, mostChunk = int64_t{1} << 30, chunksOfMemory = 64;

/** A kernel, and the shared memory that its launches may have. */
struct Function {
  FunctionOfDriver *function = nullptr;
  int64_t sharedBytes = sharedBytesUnasked;
};

struct Gpu {
  Driver driver{};
  Device device = 0;
  StreamOfDriver *stream = nullptr;
  std::vector<ModuleOfDriver *> modules;
  std::map<std::string, Function> functions;
  std::string name;
  int capability = 0;
  int multiprocessors = 1;
  int64_t sharedBytes = sharedBytesUnasked;
  int64_t chunkBytes = leastChunk;
  bool isCapturing = false;
};

Gpu &gpu() {
  static Gpu only;
  return only;
}

void check(Result result, const std::string &what) {
  if (result == 0) return;
  const char *text = nullptr;
  gpu().driver.errorString(result, &text);
  throw std::runtime_error(what + ": " + (text ? text : "error " + std::to_string(result) + " of the driver"));
}

int attributeOf(int attribute) {
  int value = 0;
  check(gpu().driver.attribute(&value, attribute, gpu().device), "asking the GPU for its properties");
  return value;
}

void chooseDevice() {
  Gpu &self = gpu();
  int count = 0;
  check(self.driver.init(0), "opening the NVIDIA driver");
  check(self.driver.deviceCount(&count), "counting GPUs");
  if (count == 0) throw std::runtime_error("the NVIDIA driver finds no GPU");
  check(self.driver.device(&self.device, 0), "opening the first GPU");
  char name[256] = "";
  check(self.driver.deviceName(name, sizeof name, self.device), "asking the GPU for its name");
  self.name = name;
  const int capability = self.capability = 10 * attributeOf(capabilityMajor) + attributeOf(capabilityMinor);
  if (capability < oldestCapability)
    throw std::runtime_error(self.name + " is of compute capability " + std::to_string(capability / 10) + "." +
                             std::to_string(capability % 10) + "; kernels are compiled for 8.0 and newer");
}

void loadKernels() {
  Gpu &self = gpu();
  if (!images[0]) throw std::runtime_error("this build of vwn-cuda holds no kernels: there was no nvcc");
  self.modules.clear();
  for (const void *const *image = images; *image; image++) {
    ModuleOfDriver *module = nullptr;
    check(self.driver.loadModule(&module, *image), "loading kernels on " + self.name);
    self.modules.push_back(module);
  }
}

int64_t chunkOfMemory() {
  size_t bytes = 0;
  check(gpu().driver.totalMemory(&bytes, gpu().device), "asking the GPU for its memory");
  return std::clamp(static_cast<int64_t>(bytes) / chunksOfMemory, leastChunk, mostChunk);
}

Function &functionFor(const std::string &name) {
  Gpu &self = gpu();
  Function &found = self.functions[name];
  for (size_t i = 0; i < self.modules.size() && !found.function; i++) {
    const Result result = self.driver.findFunction(&found.function, self.modules[i], name.c_str());
    if (result != 0) found.function = nullptr;
    // Whatever else it is, such as an earlier kernel's failure, is not that it is not there.
    if (result != notFound) check(result, "finding kernel " + name);
  }
  if (!found.function) throw std::runtime_error("there is no kernel " + name);
  return found;
}

/** Raises what a function may ask for. It is never lowered again: a recorded launch may want as much as there was. */
void allowShared(Function &function, int64_t bytes, const std::string &name) {
  if (bytes <= function.sharedBytes) return;
  check(gpu().driver.setFunction(function.function, dynamicSharedBytes, static_cast<int>(bytes)), "kernel " + name);
  function.sharedBytes = bytes;
}

Address addressOf(const void *data) { return reinterpret_cast<Address>(data); }

}  // namespace

void openDevice() {
  Gpu &self = gpu();
  if (self.stream) return;
  self.driver = openDriver();
  chooseDevice();
  ContextOfDriver *context = nullptr;
  check(self.driver.retainContext(&context, self.device), "opening a context on " + self.name);
  check(self.driver.setContext(context), "using the context on " + self.name);
  loadKernels();
  self.multiprocessors = attributeOf(multiprocessorCount);
  self.sharedBytes = attributeOf(sharedBytesOptIn);
  self.chunkBytes = chunkOfMemory();
  check(self.driver.createStream(&self.stream, 0), "opening a stream on " + self.name);
}

bool onGpu() { return true; }
void *workStream() { return gpu().stream; }
std::string deviceName() { return gpu().name; }
int multiprocessors() { return gpu().multiprocessors; }
int64_t sharedLimit() { return gpu().sharedBytes; }
bool isHopper() { return gpu().capability == 90; }
int64_t chunkBytes() { return gpu().chunkBytes; }

void launchWith(const std::string &name, Grid grid, int threads, int64_t sharedBytes, const Arguments &arguments) {
  if (grid.x <= 0 || grid.y <= 0 || grid.z <= 0) return;
  const Driver &driver = gpu().driver;
  Function &function = functionFor(name);
  allowShared(function, sharedBytes, name);
  check(driver.launch(function.function, static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y), static_cast<unsigned>(grid.z),
                      static_cast<unsigned>(threads), 1, 1, static_cast<unsigned>(sharedBytes), gpu().stream,
                      arguments.values, nullptr),
        "kernel " + name);
}

struct Graph {
  ExecutableGraphOfDriver *executable;
};

void beginGraph() {
  check(gpu().driver.beginCapture(gpu().stream, captureOfThread), "recording");
  gpu().isCapturing = true;
}

bool isMakingGraph() { return gpu().isCapturing; }

Graph *endGraph() {
  const Driver &driver = gpu().driver;
  gpu().isCapturing = false;
  GraphOfDriver *graph = nullptr;
  ExecutableGraphOfDriver *executable = nullptr;
  check(driver.endCapture(gpu().stream, &graph), "recording");
  const Result result = driver.instantiate(&executable, graph, 0);
  (void)driver.freeGraph(graph);
  check(result, "making a graph");
  return new Graph{executable};
}

void abandonGraph() noexcept {
  gpu().isCapturing = false;
  GraphOfDriver *graph = nullptr;
  if (gpu().driver.endCapture(gpu().stream, &graph) == 0 && graph) (void)gpu().driver.freeGraph(graph);
}

void launchGraph(const Graph &graph) {
  check(gpu().driver.launchGraph(graph.executable, gpu().stream), "running a graph of kernels");
}

void freeGraph(Graph *graph) noexcept {
  if (graph) (void)gpu().driver.freeExecutable(graph->executable);
  delete graph;
}

void zero(void *data, int64_t bytes) {
  if (bytes > 0) check(gpu().driver.fill(addressOf(data), 0, static_cast<size_t>(bytes), gpu().stream), "clearing memory");
}

void *allocateOnDevice(size_t bytes) {
  Address address = 0;
  const Result result = gpu().driver.allocate(&address, bytes);
  if (result == outOfDeviceMemory) return nullptr;
  check(result, "allocating memory on " + gpu().name);
  return reinterpret_cast<void *>(address);
}

void freeOnDevice(void *data) {
  // At the end of the process the driver may be gone already, and has freed everything.
  if (data) (void)gpu().driver.free(addressOf(data));
}

void copyFromDevice(void *to, const void *from, size_t bytes) {
  check(gpu().driver.fromDevice(to, addressOf(from), bytes, gpu().stream), "copying from the GPU");
  check(gpu().driver.synchronize(gpu().stream), "running kernels");
}

/** Returns when `from` may change again; the driver has copied it by then, if not yet to the GPU. */
void copyToDevice(void *to, const void *from, size_t bytes) {
  check(gpu().driver.toDevice(addressOf(to), from, bytes, gpu().stream), "copying to the GPU");
}

}  // namespace cuda
}  // namespace vwn
