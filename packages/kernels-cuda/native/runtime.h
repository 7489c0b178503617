/**
 * What host code asks of a device: memory, and kernels by name. driver/ does it on a GPU, emulation/ on the host. All
 * work is done in the order in which it was asked for. Failures throw std::runtime_error (std::bad_alloc: no memory).
 */
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <typeinfo>

#include "vwn_kernels.h"

namespace vwn {
namespace cuda {

struct Grid {
  int64_t x, y = 1, z = 1;
};

/** What a launch hands to a kernel: pointers to the arguments, and their types, which emulation checks. */
struct Arguments {
  void **values;
  const std::type_info *const *types;
  size_t count;
};

/** Grids of no block are not launched. */
void launchWith(const std::string &kernel, Grid grid, int threads, int64_t sharedBytes, const Arguments &arguments);

/** The arguments' types must be the kernel's own: cast where they are not. */
template <class... A>
void launch(const std::string &kernel, Grid grid, int threads, int64_t sharedBytes, A... arguments) {
  void *values[] = {static_cast<void *>(&arguments)...};
  const std::type_info *const types[] = {&typeid(A)...};
  launchWith(kernel, grid, threads, sharedBytes, {values, types, sizeof...(A)});
}

/** A kernel's name for a type of storage: rms_norm → rms_norm_bf16. */
inline std::string forType(const char *kernel, int32_t type) {
  return std::string(kernel) + (type == VWN_BF16 ? "_bf16" : "_f32");
}

/** bf16 as the device stores it; the host only passes pointers to it. */
struct bf16;

/** Calls body with a typed pointer: float or bf16. Only what Call::reals has accepted. */
template <class Body>
void withFloats(void *data, int32_t type, const Body &body) {
  if (type == VWN_BF16) body(static_cast<bf16 *>(data));
  else body(static_cast<float *>(data));
}

/** Blocks of `threads` that cover `items`, at most `most`: kernels loop over what is left. */
inline int64_t blocksFor(int64_t items, int64_t threads = 256, int64_t most = 65536) {
  const int64_t blocks = (items + threads - 1) / threads;
  return blocks < most ? blocks : most;
}

/** For kernels of device/eights.h. */
inline int64_t blocksOfEights(int64_t items) { return blocksFor((items + 7) / 8); }

/** Uses of scratch memory that may be live at once have different slots. */
enum class Slot { partial, packed, rows, left, right, weight, total, losses, workspace, count };
/** Grow-only memory of the device, 256-byte aligned, of undefined content. */
void *scratch(Slot slot, int64_t bytes);
int64_t scratchBytes();
/** How often memory that scratch() has given was given up for more: whoever kept its address must ask again. */
int64_t scratchMoves();

/** Launches and clearings that are done together, again and again; a CUDA graph on a GPU. */
struct Graph;
/** What is asked for from here on goes into a graph, and is not done. Nothing may be read, copied or allocated. */
void beginGraph();
Graph *endGraph();
void abandonGraph() noexcept;
bool isMakingGraph();
void launchGraph(const Graph &graph);
void freeGraph(Graph *graph) noexcept;

void zero(void *data, int64_t bytes);
/** Whether memory is a GPU's, and the stream (CUstream) that its work goes to, for libraries that add to it. */
bool onGpu();
void *workStream();
/** Streaming multiprocessors: how many blocks a kernel that loops by itself is launched with, at least. */
int multiprocessors();
/** Shared memory that one block may ask for. */
int64_t sharedLimit();
/** Compute capability 9.0. */
bool isHopper();
/** Scratch memory that a function should take at most for what it can make in chunks. */
int64_t chunkBytes();

}  // namespace cuda
}  // namespace vwn
