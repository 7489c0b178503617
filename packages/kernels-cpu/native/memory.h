/** Large aligned blocks for tensors. */
#pragma once
#include <cstddef>

namespace vwn {

/** 64-byte aligned, from 2 MiB on in huge pages where the system has them; nullptr when there is no memory. */
void *allocateBlock(size_t bytes);
void freeBlock(void *data, size_t bytes);

}  // namespace vwn
