/** Rotary position embedding; kernels in device/rotary.cu. */
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "../device/rotary-shape.h"
#include "../runtime.h"
#include "functions.h"
#include "vwn_call.h"

namespace vwn {
namespace VWN_ISA {
namespace {

constexpr int threadsOfBlock = 256;

/** A block a position, so that angles are made once; more of them where positions are too few for all multiprocessors. */
Grid gridOf(const Rotation &by) {
  const int64_t ofPosition = by.sequences * by.heads * by.half, blocks = std::min<int64_t>(by.length, 65536);
  const int64_t wanted = 4 * multiprocessors(), most = blocksFor((ofPosition + 7) / 8, threadsOfBlock, 1024);
  return {blocks, std::clamp<int64_t>(wanted / std::max<int64_t>(blocks, 1), 1, std::max<int64_t>(most, 1))};
}

}  // namespace

/** Buffers: x, y, both [B·T·H·d] of one type. Numbers: B, T, H, d, theta, offset, inverse. */
const char *rotary_embedding(const vwn_call *raw) {
  Call call(raw, 2, 7);
  const int64_t B = call.dimension(0), length = call.dimension(1), heads = call.dimension(2), d = call.dimension(3);
  void *x = call.reals(0, {B, length, heads, d}), *y = call.reals(1, {B, length, heads, d});
  call.sameType({0, 1});
  if (call.problem()) return call.problem();
  if (d % 2) return "the head width must be even";
  const Rotation by{B, length, heads, d / 2, call.integer(5), std::log(call.exact(4)), call.integer(6) ? -1.0f : 1.0f};
  const int64_t shared = 2 * pairsAtOnce * static_cast<int64_t>(sizeof(float));
  withFloats(y, call.type(1), [&](auto *out) {
    using T = std::remove_pointer_t<decltype(out)>;
    launch(forType("rotary", call.type(1)), gridOf(by), threadsOfBlock, shared, static_cast<const T *>(x), out, by);
  });
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
