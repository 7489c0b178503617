/** What the programs of bad kernels print. */
#pragma once
#include <cstdio>
#include <stdexcept>
#include <string>

#include "runtime.h"

namespace vwn {
namespace cuda {

/** Launches a kernel; a line says that it is done, or what was found wrong with it. */
template <class... A>
void report(const char *title, const std::string &kernel, Grid grid, int threads, int64_t sharedBytes, A... arguments) {
  try {
    launch(kernel, grid, threads, sharedBytes, arguments...);
    std::printf("%s: done\n", title);
  } catch (const std::runtime_error &error) {
    std::printf("%s: %s\n", title, error.what());
  }
}

}  // namespace cuda
}  // namespace vwn
