/**
 * A CUDA driver whose GPU reads PTX: what native/driver loads in the place of libcuda.so.1. Memory is the host's, a launch has run
 * when it returns, and one that fails returns an error whose text says where. VWN_INTERPRETED_CAPABILITY is what the GPU is: 90, as
 * on H100, or 86.
 */
#include <cstdlib>
#include <cstring>
#include <functional>

#include "assembler.h"
#include "block.h"
#include "counts.h"
#include "driver/driver-api.h"

namespace vwn {
namespace ptx {
namespace {

constexpr int invalidValue = 1, outOfMemory = 2, noImage = 209, launchFailed = 719, notWhileCapturing = 900;
/** What the library sizes its chunks by. */
constexpr size_t bytesOfMemory = size_t{8} << 30;

int capability() {
  const char *wanted = std::getenv("VWN_INTERPRETED_CAPABILITY");
  return wanted ? std::atoi(wanted) : 90;
}
/** Of H100, A100 and the GPUs of other capabilities. */
int sharedOptIn() { return (capability() == 90 ? 227 : capability() == 80 ? 163 : 99) << 10; }

/** A module, of whose functions programs are made when they are asked for. */
struct Loaded {
  std::string text;
  std::unique_ptr<Module> module;
  Addresses globals;
  std::map<std::string, std::unique_ptr<Program>> programs;
};
struct Callable {
  const Program *program;
  int64_t sharedBytes = 48 << 10;
};

struct Graph {
  std::vector<std::function<void()>> works;
};

struct Gpu {
  ~Gpu() {
    Counts counts;
    for (const auto &loaded : modules)
      for (const auto &[name, program] : loaded->programs) counts.add(*program, loaded->module->files);
  }
  DeviceRanges memory;
  std::vector<std::unique_ptr<Loaded>> modules;
  std::map<const Program *, Callable> callables;
  std::unique_ptr<Graph> captured;
  std::string fault = "no error";
};
Gpu &gpu() {
  static Gpu only;
  return only;
}

int failed(int code, const std::string &text) {
  gpu().fault = text;
  return code;
}

/** What throws is an error of the driver. */
template <class Body>
int answer(int code, const Body &body) {
  try {
    return body();
  } catch (const std::exception &error) {
    return failed(code, error.what());
  }
}

/** Now, or when the graph that is being made runs. */
int now(std::function<void()> work) {
  if (gpu().captured) return gpu().captured->works.push_back(std::move(work)), 0;
  return answer(launchFailed, [&] { return work(), 0; });
}

/** Architectures that are newer, or have what others have not, are another GPU's. */
bool isFor(const std::string &text) {
  const size_t at = text.find(".target sm_");
  if (at == std::string::npos) return false;
  const std::string target = text.substr(at + 11, text.find_first_of(", \n", at + 11) - at - 11);
  return std::atoi(target.c_str()) <= capability() && (target.back() != 'a' || std::atoi(target.c_str()) == capability());
}

void parseIt(Loaded &loaded) {
  loaded.module = std::make_unique<Module>(parse(loaded.text));
  for (Variable &each : loaded.module->globals) {
    each.content.resize(each.bytes);
    loaded.globals[each.name] = reinterpret_cast<uint64_t>(each.content.data());
    gpu().memory.add(each.content.data(), each.bytes);
  }
}

const Program *programOf(Loaded &loaded, const std::string &name) {
  if (loaded.text.find(".entry " + name + '(') == std::string::npos) return nullptr;
  if (!loaded.module) parseIt(loaded);
  const auto known = loaded.programs.find(name);
  if (known != loaded.programs.end()) return known->second.get();
  auto program = std::make_unique<Program>(Assembler(*loaded.module, loaded.module->functions.at(name), loaded.globals).assemble());
  return (loaded.programs[name] = std::move(program)).get();
}

std::vector<unsigned char> argumentsOf(const Program &program, void **values) {
  std::vector<unsigned char> bytes(program.parameterBytes);
  for (size_t i = 0; i < program.parameters.size(); i++) std::memcpy(bytes.data() + program.parameters[i].at, values[i], program.parameters[i].bytes);
  return bytes;
}

/** What a GPU refuses before it begins. */
std::string wrongWith(const Launch &launch, int64_t allowedBytes) {
  const Program &program = *launch.program;
  if (launch.grid.x == 0 || launch.grid.y == 0 || launch.grid.z == 0 || launch.grid.y > 65535 || launch.grid.z > 65535) return "a grid of a size that it cannot have";
  if (launch.threads == 0 || launch.threads % lanes != 0) return "a block of " + std::to_string(launch.threads) + " threads, which are no whole warps";
  if (launch.threads > program.mostThreads) return "a block of " + std::to_string(launch.threads) + " threads, where it was compiled for " + std::to_string(program.mostThreads);
  if (static_cast<int64_t>(launch.sharedBytes) > allowedBytes) return std::to_string(launch.sharedBytes) + " bytes of shared memory, where it may have " + std::to_string(allowedBytes);
  if (launch.grid.x % program.cluster != 0) return "a grid that is not of whole clusters";
  return "";
}

}  // namespace
}  // namespace ptx
}  // namespace vwn

using namespace vwn::ptx;
using vwn::cuda::Address;
#define VWN_ANSWERS extern "C" __attribute__((visibility("default"))) int

VWN_ANSWERS cuInit(unsigned) { return 0; }
VWN_ANSWERS cuGetErrorString(int, const char **text) { return *text = gpu().fault.c_str(), 0; }
VWN_ANSWERS cuDeviceGetCount(int *count) { return *count = 1, 0; }
VWN_ANSWERS cuDeviceGet(int *device, int) { return *device = 0, 0; }
VWN_ANSWERS cuDeviceGetName(char *name, int bytes, int) {
  std::strncpy(name, "interpreter of PTX", static_cast<size_t>(bytes));
  return 0;
}
VWN_ANSWERS cuDeviceGetAttribute(int *value, int attribute, int) {
  switch (attribute) {
    case vwn::cuda::capabilityMajor: *value = capability() / 10; return 0;
    case vwn::cuda::capabilityMinor: *value = capability() % 10; return 0;
    case vwn::cuda::multiprocessorCount: *value = 4; return 0;
    case vwn::cuda::sharedBytesOptIn: *value = sharedOptIn(); return 0;
    default: return failed(invalidValue, "an attribute that is not known here");
  }
}
VWN_ANSWERS cuDeviceTotalMem_v2(size_t *bytes, int) { return *bytes = bytesOfMemory, 0; }
VWN_ANSWERS cuDevicePrimaryCtxRetain(void **context, int) { return *context = &gpu(), 0; }
VWN_ANSWERS cuCtxSetCurrent(void *) { return 0; }
VWN_ANSWERS cuStreamCreate(void **stream, unsigned) { return *stream = &gpu(), 0; }
VWN_ANSWERS cuStreamSynchronize(void *) { return 0; }

VWN_ANSWERS cuModuleLoadData(Loaded **module, const char *image) {
  auto loaded = std::make_unique<Loaded>();
  loaded->text = image;
  if (!isFor(loaded->text)) return failed(noImage, "an image that is no PTX for this GPU");
  gpu().modules.push_back(std::move(loaded));
  return *module = gpu().modules.back().get(), 0;
}
VWN_ANSWERS cuModuleGetFunction(Callable **function, Loaded *module, const char *name) {
  return answer(noImage, [&] {
    const Program *program = programOf(*module, name);
    if (!program) return vwn::cuda::notFound;
    Callable &callable = gpu().callables[program];
    callable.program = program;
    return *function = &callable, 0;
  });
}
VWN_ANSWERS cuFuncSetAttribute(Callable *function, int attribute, int value) {
  if (attribute != vwn::cuda::dynamicSharedBytes || value > sharedOptIn()) return failed(invalidValue, "more shared memory than a block may have");
  return function->sharedBytes = value, 0;
}

VWN_ANSWERS cuMemAlloc_v2(Address *address, size_t bytes) {
  if (gpu().captured) return failed(notWhileCapturing, "no memory while a graph is made");
  void *data = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (!data || bytes == 0) return std::free(data), failed(outOfMemory, "out of memory");
  std::memset(data, 0xff, bytes);
  gpu().memory.add(data, bytes);
  return *address = reinterpret_cast<Address>(data), 0;
}
VWN_ANSWERS cuMemFree_v2(Address address) {
  void *data = reinterpret_cast<void *>(address);
  if (!gpu().memory.remove(data)) return failed(invalidValue, "memory that is not allocated");
  return std::free(data), 0;
}
VWN_ANSWERS cuMemsetD8Async(Address address, unsigned char value, size_t bytes, void *) {
  if (!gpu().memory.has(address, bytes)) return failed(invalidValue, "clearing memory that is not allocated");
  return now([=] { std::memset(reinterpret_cast<void *>(address), value, bytes); });
}
VWN_ANSWERS cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t bytes, void *) {
  if (gpu().captured) return failed(notWhileCapturing, "no copy from the host while a graph is made");
  if (!gpu().memory.has(to, bytes)) return failed(invalidValue, "a copy to memory that is not allocated");
  return std::memcpy(reinterpret_cast<void *>(to), from, bytes), 0;
}
VWN_ANSWERS cuMemcpyDtoHAsync_v2(void *to, Address from, size_t bytes, void *) {
  if (gpu().captured) return failed(notWhileCapturing, "no copy to the host while a graph is made");
  if (!gpu().memory.has(from, bytes)) return failed(invalidValue, "a copy from memory that is not allocated");
  return std::memcpy(to, reinterpret_cast<const void *>(from), bytes), 0;
}

VWN_ANSWERS cuLaunchKernel(Callable *function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned threadsY, unsigned threadsZ,
                           unsigned sharedBytes, void *, void **arguments, void **) {
  const Program &program = *function->program;
  const Launch launch{&program, {x, y, z}, threads, sharedBytes, argumentsOf(program, arguments), &gpu().memory};
  const std::string wrong = threadsY != 1 || threadsZ != 1 ? "threads in more than one dimension" : wrongWith(launch, function->sharedBytes);
  if (!wrong.empty()) return failed(invalidValue, program.name + " is launched with " + wrong);
  return now([launch] { run(launch); });
}

VWN_ANSWERS cuStreamBeginCapture_v2(void *, int) {
  if (gpu().captured) return failed(notWhileCapturing, "a graph is being made already");
  return gpu().captured = std::make_unique<Graph>(), 0;
}
VWN_ANSWERS cuStreamEndCapture(void *, Graph **graph) {
  if (!gpu().captured) return failed(notWhileCapturing, "no graph is being made");
  return *graph = gpu().captured.release(), 0;
}
VWN_ANSWERS cuGraphInstantiateWithFlags(Graph **executable, const Graph *graph, unsigned long long) { return *executable = new Graph(*graph), 0; }
VWN_ANSWERS cuGraphLaunch(const Graph *executable, void *) {
  return answer(launchFailed, [&] {
    for (const auto &work : executable->works) work();
    return 0;
  });
}
VWN_ANSWERS cuGraphDestroy(Graph *graph) { return delete graph, 0; }
VWN_ANSWERS cuGraphExecDestroy(Graph *graph) { return delete graph, 0; }
