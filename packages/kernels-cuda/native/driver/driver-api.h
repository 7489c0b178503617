/**
 * The functions of the CUDA driver that this library calls, found at run time: it loads, and says what is missing, on
 * machines that have neither driver nor GPU. Declared here, since the toolkit's cuda.h is on few of them; this part of
 * the interface has not changed since CUDA 3.2, of graphs since 11.4.
 */
#pragma once
#include <cstddef>

namespace vwn {
namespace cuda {

using Result = int; /* CUresult; 0 is success */
using Device = int;
using Address = unsigned long long; /* CUdeviceptr */
struct ContextOfDriver;
struct ModuleOfDriver;
struct FunctionOfDriver;
struct StreamOfDriver;
struct GraphOfDriver;
struct ExecutableGraphOfDriver;

/* CUdevice_attribute, CUfunction_attribute and CUresult, as far as they are used. */
constexpr int multiprocessorCount = 16, capabilityMajor = 75, capabilityMinor = 76, sharedBytesOptIn = 97;
constexpr int dynamicSharedBytes = 8;
constexpr Result outOfDeviceMemory = 2, notFound = 500;
/* CUstreamCaptureMode: other threads of the process may allocate meanwhile. */
constexpr int captureOfThread = 1;

/* field, symbol, parameters */
#define VWN_DRIVER_FUNCTIONS(each)                                                                                      \
  each(init, cuInit, (unsigned flags))                                                                                  \
  each(errorString, cuGetErrorString, (Result code, const char **text))                                                 \
  each(deviceCount, cuDeviceGetCount, (int *count))                                                                     \
  each(device, cuDeviceGet, (Device * device, int index))                                                               \
  each(deviceName, cuDeviceGetName, (char *name, int bytes, Device device))                                             \
  each(attribute, cuDeviceGetAttribute, (int *value, int attribute, Device device))                                     \
  each(totalMemory, cuDeviceTotalMem_v2, (size_t * bytes, Device device))                                               \
  each(retainContext, cuDevicePrimaryCtxRetain, (ContextOfDriver * *context, Device device))                            \
  each(setContext, cuCtxSetCurrent, (ContextOfDriver * context))                                                        \
  each(loadModule, cuModuleLoadData, (ModuleOfDriver * *module, const void *image))                                     \
  each(findFunction, cuModuleGetFunction, (FunctionOfDriver * *function, ModuleOfDriver *module, const char *name))     \
  each(setFunction, cuFuncSetAttribute, (FunctionOfDriver * function, int attribute, int value))                        \
  each(createStream, cuStreamCreate, (StreamOfDriver * *stream, unsigned flags))                                        \
  each(synchronize, cuStreamSynchronize, (StreamOfDriver * stream))                                                     \
  each(allocate, cuMemAlloc_v2, (Address * address, size_t bytes))                                                      \
  each(free, cuMemFree_v2, (Address address))                                                                           \
  each(fill, cuMemsetD8Async, (Address address, unsigned char value, size_t bytes, StreamOfDriver *stream))             \
  each(toDevice, cuMemcpyHtoDAsync_v2, (Address to, const void *from, size_t bytes, StreamOfDriver *stream))            \
  each(fromDevice, cuMemcpyDtoHAsync_v2, (void *to, Address from, size_t bytes, StreamOfDriver *stream))                \
  each(beginCapture, cuStreamBeginCapture_v2, (StreamOfDriver * stream, int mode))                                       \
  each(endCapture, cuStreamEndCapture, (StreamOfDriver * stream, GraphOfDriver **graph))                                \
  each(instantiate, cuGraphInstantiateWithFlags,                                                                        \
       (ExecutableGraphOfDriver * *executable, GraphOfDriver *graph, unsigned long long flags))                         \
  each(launchGraph, cuGraphLaunch, (ExecutableGraphOfDriver * executable, StreamOfDriver *stream))                      \
  each(freeGraph, cuGraphDestroy, (GraphOfDriver * graph))                                                              \
  each(freeExecutable, cuGraphExecDestroy, (ExecutableGraphOfDriver * executable))                                      \
  each(launch, cuLaunchKernel,                                                                                          \
       (FunctionOfDriver * function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned threadsX,                 \
        unsigned threadsY, unsigned threadsZ, unsigned sharedBytes, StreamOfDriver *stream, void **arguments,           \
        void **extra))

struct Driver {
#define VWN_FIELD(field, symbol, parameters) Result(*field) parameters;
  VWN_DRIVER_FUNCTIONS(VWN_FIELD)
#undef VWN_FIELD
};

/** Opens libcuda, or what VWN_CUDA_DRIVER names. @throws std::runtime_error where there is none, or one without a function */
Driver openDriver();

}  // namespace cuda
}  // namespace vwn
