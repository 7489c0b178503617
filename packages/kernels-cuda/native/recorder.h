/** Recordings of calls: graphs, by their numbers. */
#pragma once
#include "library.h"

namespace vwn {
namespace cuda {

/** nullptr where VWN_CUDA_GRAPHS is 0: calls are made again each time then. */
Recorder *recorder();

}  // namespace cuda
}  // namespace vwn
