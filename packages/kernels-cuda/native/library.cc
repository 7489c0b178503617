/** vwn-cuda as the addon sees it. */
#include "library.h"

#include "blas/cublaslt.h"
#include "device-memory.h"
#include "problem.h"
#include "recorder.h"
#include "runtime.h"
#include "warpgroups.h"

namespace vwn {
namespace cuda {
extern const vwn_entry table[];
}

const char *const libraryName = "vwn-cuda";

Library openLibrary() {
  cuda::openDevice();
  cuda::openWarpgroups();
  const std::string device = cuda::deviceName() + ", " + cuda::blasName() + cuda::warpgroupsName();
  return {cuda::table, device, {device}, false, cuda::recorder()};
}

void *allocateBlock(size_t bytes) { return cuda::allocateOnDevice(bytes); }
void freeBlock(void *data, size_t) { cuda::freeOnDevice(data); }
void readBlock(void *to, const void *from, size_t bytes) {
  cuda::copyFromDevice(to, from, bytes);
  cuda::throwProblems();
}
void writeBlock(void *to, const void *from, size_t bytes) { cuda::copyToDevice(to, from, bytes); }

/** Of the host, which only asks for work. */
int threadCount() { return 1; }
void setThreadCount(int) {}
int64_t scratchBytes() { return cuda::scratchBytes(); }

}  // namespace vwn
