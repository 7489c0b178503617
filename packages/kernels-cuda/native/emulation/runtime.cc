/** The device that is this host: memory is the host's, and a grid runs block after block; see fibres.cc. */
#include "../runtime.h"

#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#include "../device-memory.h"
#include "fibres.h"
#include "stream.h"
#include "watch.h"

namespace vwn {
namespace emulation {
namespace {

/** What a block may have on sm_90 and sm_100; kernels ask the device for its limit. */
constexpr int64_t mostSharedBytes = 227 << 10;

/** As on sm_86 and sm_89, which have the least, or as many KiB as VWN_EMULATED_SHARED says. */
int64_t sharedBytesOfBlock() {
  constexpr int64_t least = 99;
  const char *wanted = std::getenv("VWN_EMULATED_SHARED");
  const int64_t bytes = (wanted ? std::atoll(wanted) : least) << 10;
  if (bytes < least << 10 || bytes > mostSharedBytes) throw std::runtime_error("VWN_EMULATED_SHARED must be from 99 to 227 KiB");
  return bytes;
}

std::map<std::string, Kernel> &kernels() {
  static std::map<std::string, Kernel> all;
  return all;
}

const Kernel &kernelFor(const std::string &name, const cuda::Arguments &arguments) {
  const auto found = kernels().find(name);
  if (found == kernels().end()) throw std::runtime_error("there is no kernel " + name);
  const Kernel &kernel = found->second;
  bool fits = kernel.types.size() == arguments.count;
  for (size_t i = 0; fits && i < arguments.count; i++) fits = kernel.types[i] == *arguments.types[i];
  if (!fits) throw std::runtime_error("kernel " + name + " was launched with arguments of other types than its own");
  return kernel;
}

void fillWithNaN(int64_t bytes) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (int64_t i = 0; i + 4 <= bytes; i += 4) std::memcpy(static_cast<char *>(sharedMemory()) + i, &nan, 4);
}

}  // namespace

void *sharedMemory() { return static_cast<char *>(watch::sharedRoom(mostOfCluster * sharedApart)) + running.rank * sharedApart; }

void Registered::add(const char *name, Kernel kernel) { kernels().emplace(name, std::move(kernel)); }

}  // namespace emulation

namespace cuda {

/** What it does in turn. Arguments are copied when work is asked for, as a GPU's driver does. */
struct Graph {
  std::vector<std::function<void()>> works;
};

namespace {

/** The one that is being made. */
std::unique_ptr<Graph> making;

void doOrKeep(std::function<void()> work) {
  if (making) making->works.push_back(std::move(work));
  else work();
}

/** What a driver refuses while it records. */
void refuseWhileRecording(const char *what) {
  if (making) throw std::runtime_error(std::string(what) + " cannot be recorded");
}

struct Launch {
  std::string kernel;
  Grid grid;
  int threads;
  int64_t sharedBytes;
  unsigned cluster;
  std::function<void()> body;
};

void runGrid(const Launch &launch) {
  const auto &[kernel, grid, threads, sharedBytes, cluster, body] = launch;
  emulation::watch::beginLaunch(kernel, static_cast<size_t>(sharedBytes));
  emulation::Running &running = emulation::running;
  running.threads = {static_cast<unsigned>(threads), 1, 1};
  running.blocks = {static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y), static_cast<unsigned>(grid.z)};
  running.cluster = cluster;
  for (int64_t z = 0; z < grid.z; z++)
    for (int64_t y = 0; y < grid.y; y++)
      for (int64_t x = 0; x < grid.x; x += cluster) {
        for (running.rank = 0; running.rank < cluster; running.rank++) emulation::fillWithNaN(sharedBytes);
        running.rank = 0;
        running.block = {static_cast<unsigned>(x), static_cast<unsigned>(y), static_cast<unsigned>(z)};
        emulation::runCluster(body);
      }
}

}  // namespace

void launchWith(const std::string &name, Grid grid, int threads, int64_t sharedBytes, const Arguments &arguments) {
  const emulation::Kernel &kernel = emulation::kernelFor(name, arguments);
  if (threads < 1 || threads > 1024 || threads % 32 != 0 || grid.y > 65535 || grid.z > 65535 || grid.x > 0x7fffffff)
    throw std::runtime_error("kernel " + name + " cannot be launched on a grid or a block of this size");
  if (sharedBytes > sharedLimit()) throw std::runtime_error("kernel " + name + " asks for more shared memory than there is");
  if (grid.x % kernel.cluster != 0) throw std::runtime_error("kernel " + name + " was launched on a grid that is not of whole clusters");
  doOrKeep([launch = Launch{name, grid, threads, sharedBytes, kernel.cluster, kernel.bind(arguments.values)}] { runGrid(launch); });
}

void zero(void *data, int64_t bytes) {
  doOrKeep([data, bytes] { std::memset(data, 0, static_cast<size_t>(bytes)); });
}

void beginGraph() {
  refuseWhileRecording("a recording");
  making = std::make_unique<Graph>();
}
Graph *endGraph() { return making.release(); }
void abandonGraph() noexcept { making.reset(); }
bool isMakingGraph() { return making != nullptr; }
void launchGraph(const Graph &graph) {
  for (const std::function<void()> &work : graph.works) work();
}
void freeGraph(Graph *graph) noexcept { delete graph; }

bool onGpu() { return false; }
void *workStream() {
  static emulation::Stream stream{doOrKeep};
  return &stream;
}
/** Few, so that kernels which loop over what their grid does not cover are seen to do so. */
int multiprocessors() { return 3; }
int64_t sharedLimit() {
  static const int64_t bytes = emulation::sharedBytesOfBlock();
  return bytes;
}
/** With the shared memory that such a GPU has. */
bool isHopper() { return sharedLimit() == emulation::mostSharedBytes; }
/** Little, so that tests see several chunks. */
int64_t chunkBytes() { return 16 << 10; }

void openDevice() {}
std::string deviceName() { return "emulated on the host"; }
void *allocateOnDevice(size_t bytes) {
  refuseWhileRecording("an allocation");
  return emulation::watch::allocate(bytes);
}
void freeOnDevice(void *data) { emulation::watch::release(data); }
void copyFromDevice(void *to, const void *from, size_t bytes) {
  refuseWhileRecording("a copy to the host");
  std::memcpy(to, from, bytes);
}
void copyToDevice(void *to, const void *from, size_t bytes) {
  refuseWhileRecording("a copy from the host");
  std::memcpy(to, from, bytes);
}

}  // namespace cuda
}  // namespace vwn
