/** Memory of the device, and the device's own name: for the library and its scratch memory, not for kernels' callers. */
#pragma once
#include <cstddef>
#include <string>

namespace vwn {
namespace cuda {

/** @throws std::runtime_error naming what is missing: the driver, a device, or kernels for it */
void openDevice();
std::string deviceName();

/** 256-byte aligned; nullptr when there is no memory. */
void *allocateOnDevice(size_t bytes);
void freeOnDevice(void *data);
/** Copies wait for all work that was asked for before. */
void copyFromDevice(void *to, const void *from, size_t bytes);
void copyToDevice(void *to, const void *from, size_t bytes);

}  // namespace cuda
}  // namespace vwn
