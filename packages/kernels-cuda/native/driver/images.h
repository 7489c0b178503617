/** The compiled kernels, one image for each file of device/; written by the build, none where it found no nvcc. */
#pragma once

namespace vwn {
namespace cuda {

extern const void *const images[]; /* ends with nullptr */

}  // namespace cuda
}  // namespace vwn
