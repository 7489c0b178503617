/**
 * Causal attention with grouped key heads: by tensor cores (device/flash.cu and flash-grad.cu) where heads are bf16 and lie
 * on 16 bytes, on compute capability 9.0 by warpgroups (device/hopper-flash.cu and hopper-flash-grad.cu) where they have more
 * than 32 columns; else in float32 (device/attention.cu and attention-grad.cu).
 */
#include "../device/hopper-flash.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "../problem.h"
#include "../runtime.h"
#include "../warpgroups.h"
#include "functions.h"
#include "vwn_call.h"

namespace vwn {
namespace VWN_ISA {
namespace {

AttentionSizes sizesOf(Call &call) {
  const int64_t d = call.dimension(5);
  return {call.dimension(0), call.dimension(1), call.dimension(2), call.dimension(3), call.dimension(4), d,
          1.0f / std::sqrt(static_cast<float>(d))};
}

/** Shared memory of so many tiles of rows and of scores. */
int64_t bytesOf(int64_t rows, int64_t scores, int64_t d) {
  return 4 * attentionTile * (rows * (d + 1) + scores * scoreStride);
}

bool usesTensorCores(const AttentionSizes &s, int32_t type) {
  return type == VWN_BF16 && s.d % 8 == 0 && s.d <= flashMostColumns;
}

const char *problemOf(const AttentionSizes &s, bool byTensorCores, int64_t sharedBytes) {
  if (s.K < 1 || s.H % s.K || s.S < s.T || s.d < 1)
    return "attention: heads or lengths do not fit together: key heads must divide query heads, and keys be no fewer than queries";
  if (!byTensorCores && (s.d > 256 || sharedBytes > sharedLimit()))
    return "attention: heads are wider than this GPU’s shared memory takes: use narrower ones, or another backend";
  if (s.S > INT32_MAX - attentionTile * 8) return "attention: a launch takes at most 2^31 keys: use shorter sequences";
  if (s.B * s.H > 65535) return "attention: a launch takes at most 65535 heads of all sequences together: use a smaller batch";
  return nullptr;
}

/** The kernel for heads of this width. */
std::string forHeads(const char *kernel, int64_t d, int32_t type) {
  const char *size = d <= 32 ? "_of32" : d <= 64 ? "_of64" : d <= 128 ? "_of128" : "_of256";
  return forType((std::string(kernel) + size).c_str(), type);
}

int64_t tilesOf(int64_t rows, int64_t tile) { return (rows + tile - 1) / tile; }

/** body(FlashTiles<D>{}) for the width of heads that kernels by tensor cores compute with. */
template <class Body>
void withTiles(int64_t d, const Body &body) {
  if (d <= 32) body(FlashTiles<32>{});
  else if (d <= 64) body(FlashTiles<64>{});
  else body(FlashTiles<128>{});
}

/** Operands of the gradient: q, k, v, y, dy; dq, dk, dv; and statistics of queries, of which `dots` are yet to be made. */
template <class T>
struct Gradient {
  const T *q, *k, *v, *y, *dy;
  const float *logSums;
  T *dq, *dk, *dv;
  float *dots;
};

/** Where so many numbers of bf16 further on are, of which the host does not know what one is. */
template <class T>
T *offsetBy(T *data, int64_t elements) {
  using Bytes = std::conditional_t<std::is_const_v<T>, const char, char>;
  return reinterpret_cast<T *>(reinterpret_cast<Bytes *>(data) + elements * 2);
}

/** body(HopperTiles<D>{}) where heads are for warpgroups, and there are such. */
template <class Body>
bool withWarpgroups(int64_t d, const Body &body) {
  if (d < hopperLeastColumns || !usesWarpgroups()) return false;
  if (d <= 64) body(HopperTiles<64>{});
  else body(HopperTiles<128>{});
  return true;
}

void forwardByTensorCores(const AttentionSizes &s, const bf16 *q, const bf16 *k, const bf16 *v, bf16 *y, float *logSums) {
  const auto byWarpgroups = [&](auto tiles) {
    launch(forHeads("hopperFlash", s.d, VWN_BF16), {tilesOf(s.T, hopperRows), s.B * s.H}, hopperThreads, tiles.forwardBytes, q, k, v,
           y, logSums, s);
  };
  if (withWarpgroups(s.d, byWarpgroups)) return;
  withTiles(s.d, [&](auto tiles) {
    launch(forHeads("flash", s.d, VWN_BF16), {tilesOf(s.T, tiles.queryRows), s.B * s.H}, flashThreads, tiles.forwardBytes, q, k,
           v, y, logSums, s);
  });
}

/** Room for so many tiles of queries; no block has had its turn yet. */
template <int D>
QuerySums querySumsFor(int64_t tiles) {
  const int64_t bytes = tiles * 4, ofTurns = (bytes + 255) / 256 * 256;
  char *room = static_cast<char *>(scratch(Slot::partial, ofTurns + tiles * bytesOfQuerySums<D>));
  zero(room, bytes);
  return {reinterpret_cast<float *>(room + ofTurns), reinterpret_cast<uint32_t *>(room), problemFlag(Problem::turn)};
}

/** So many sequences at once as a chunk of scratch memory has room for their sums of dq, one at least. */
template <int D>
void gradientByWarpgroups(const AttentionSizes &all, const Gradient<bf16> &x, HopperTiles<D> tiles) {
  const int64_t ofSequence = all.H * tilesOf(all.T, tiles.queriesOfStep);
  const int64_t most = std::max<int64_t>(chunkBytes() / (ofSequence * bytesOfQuerySums<D>), 1);
  for (int64_t first = 0; first < all.B; first += most) {
    AttentionSizes s = all;
    s.B = std::min(most, all.B - first);
    const int64_t q = first * s.T * s.H * s.d, k = first * s.S * s.K * s.d, row = first * s.H * s.T;
    const float *dots = x.dots + row;
    launch(forHeads("hopperGrad", s.d, VWN_BF16), {tilesOf(s.S, tiles.gradRows) * s.B * s.K}, tiles.gradThreads, tiles.gradBytes,
           offsetBy(x.q, q), offsetBy(x.k, k), offsetBy(x.v, k), offsetBy(x.dy, q), x.logSums + row, dots,
           querySumsFor<D>(s.B * ofSequence), offsetBy(x.dq, q), offsetBy(x.dk, k), offsetBy(x.dv, k), s);
  }
}

void gradientByTensorCores(const AttentionSizes &s, const Gradient<bf16> &x) {
  const float *dots = x.dots;
  launch("flashDots_bf16", {blocksFor(s.B * s.T * s.H, 256 / flashLanesOfDot)}, 256, 0, x.y, x.dy, x.dots, s);
  if (usesTurns() && withWarpgroups(s.d, [&](auto tiles) { gradientByWarpgroups(s, x, tiles); })) return;
  withTiles(s.d, [&](auto tiles) {
    launch(forHeads("flashQueryGrad", s.d, VWN_BF16), {tilesOf(s.T, tiles.queryRows), s.B * s.H}, flashThreads,
           tiles.queryGradBytes, x.q, x.k, x.v, x.dy, x.logSums, dots, x.dq, s);
    launch(forHeads("flashKeyGrad", s.d, VWN_BF16), {tilesOf(s.S, tiles.keyRows), s.B * s.K}, flashThreads, tiles.keyGradBytes,
           x.q, x.k, x.v, x.dy, x.logSums, dots, x.dk, x.dv, s);
  });
}

template <class T>
void gradient(const AttentionSizes &s, int32_t type, const Gradient<T> &x) {
  const Grid queries{tilesOf(s.T, attentionTile), s.B * s.H}, keys{tilesOf(s.S, attentionTile), s.B * s.K};
  launch(forType("attentionDots", type), {blocksFor(s.B * s.T * s.H, 256 / 32)}, 256, 0, x.y, x.dy, x.dots, s);
  const float *dots = x.dots;
  launch(forHeads("attentionQueryGrad", s.d, type), queries, 256, bytesOf(3, 1, s.d), x.q, x.k, x.v, x.dy, x.logSums, dots,
         x.dq, s);
  launch(forHeads("attentionKeyGrad", s.d, type), keys, 256, bytesOf(3, 2, s.d), x.q, x.k, x.v, x.dy, x.logSums, dots, x.dk,
         x.dv, s);
}

}  // namespace

/** Buffers: q [B·T·H·d], k, v [B·S·K·d], y as q, all of one type, and logSums [B·H·T]. Numbers: B, T, S, H, K, d. */
const char *causal_attention(const vwn_call *raw) {
  Call call(raw, 5, 6);
  const AttentionSizes s = sizesOf(call);
  const int64_t sharedBytes = bytesOf(2, 1, s.d);
  const bool byTensorCores = usesTensorCores(s, call.type(3));
  if (const char *problem = problemOf(s, byTensorCores, sharedBytes)) return problem;
  void *q = call.reals(0, {s.B, s.T, s.H, s.d}), *k = call.reals(1, {s.B, s.S, s.K, s.d});
  void *v = call.reals(2, {s.B, s.S, s.K, s.d}), *y = call.reals(3, {s.B, s.T, s.H, s.d});
  float *logSums = call.floats(4, {s.B, s.H, s.T});
  call.sameType({0, 1, 2, 3});
  if (call.problem()) return call.problem();
  withFloats(y, call.type(3), [&](auto *out) {
    using T = std::remove_pointer_t<decltype(out)>;
    const T *const in[] = {static_cast<const T *>(q), static_cast<const T *>(k), static_cast<const T *>(v)};
    if constexpr (std::is_same_v<T, bf16>)
      if (byTensorCores) return forwardByTensorCores(s, in[0], in[1], in[2], out, logSums);
    launch(forHeads("attention", s.d, call.type(3)), {tilesOf(s.T, attentionTile), s.B * s.H}, 256, sharedBytes, in[0], in[1],
           in[2], out, logSums, s);
  });
  return nullptr;
}

/** Buffers: q, k, v, y, dy, logSums [B·H·T], dq, dk, dv; but for logSums of one type. Numbers: B, T, S, H, K, d. */
const char *causal_attention_grad(const vwn_call *raw) {
  Call call(raw, 9, 6);
  const AttentionSizes s = sizesOf(call);
  const bool byTensorCores = usesTensorCores(s, call.type(6));
  if (const char *problem = problemOf(s, byTensorCores, bytesOf(3, 2, s.d))) return problem;
  const int64_t ofQ = Call::product({s.B, s.T, s.H, s.d}), ofK = Call::product({s.B, s.S, s.K, s.d});
  const int64_t sizes[] = {ofQ, ofK, ofK, ofQ, ofQ, 0, ofQ, ofK, ofK};
  const float *logSums = call.floats(5, {s.B, s.H, s.T});
  void *p[9];
  for (int i : {0, 1, 2, 3, 4, 6, 7, 8}) p[i] = call.reals(i, {sizes[i]});
  call.sameType({0, 1, 2, 3, 4, 6, 7, 8});
  if (call.problem()) return call.problem();
  float *dots = static_cast<float *>(scratch(Slot::rows, (s.B * s.H * s.T + 1) * 4));
  withFloats(p[6], call.type(6), [&](auto *dq) {
    using T = std::remove_pointer_t<decltype(dq)>;
    const auto in = [&](int i) { return static_cast<const T *>(p[i]); };
    const Gradient<T> x{in(0), in(1), in(2), in(3), in(4), logSums, dq, static_cast<T *>(p[7]), static_cast<T *>(p[8]), dots};
    if constexpr (std::is_same_v<T, bf16>)
      if (byTensorCores) return gradientByTensorCores(s, x);
    gradient(s, call.type(6), x);
  });
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
