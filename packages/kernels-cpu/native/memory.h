/** Aligned blocks for tensors and scratch. */
#pragma once
#include <cstddef>

namespace vwn {

/** 64-byte aligned, from 16 KiB on in huge pages where the system has them; nullptr when there is no memory. */
void *allocateBlock(size_t bytes);
/** `bytes` as they were asked for. */
void freeBlock(void *data, size_t bytes);

}  // namespace vwn
