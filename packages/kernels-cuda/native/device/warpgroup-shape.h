/** What hosts, too, know of products by warpgroups, which warpgroup-matrix.h makes. */
#pragma once

namespace vwn {
namespace cuda {

/** Threads of a warpgroup, and rows that it makes; columns of a slab, 128 bytes of bf16. */
constexpr int groupThreads = 128, groupRows = 64, slabColumns = 64;

}  // namespace cuda
}  // namespace vwn
