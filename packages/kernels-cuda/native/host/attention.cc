/**
 * Causal attention with grouped key heads: by tensor cores (device/flash.cu and flash-grad.cu) where heads are bf16 and lie
 * on 16 bytes, else in float32 (device/attention.cu and attention-grad.cu).
 */
#include "../device/flash.h"

#include <cmath>
#include <type_traits>

#include "../runtime.h"
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
  if (s.K < 1 || s.H % s.K || s.S < s.T || s.d < 1) return "attention: heads or lengths do not fit together";
  if (!byTensorCores && (s.d > 256 || sharedBytes > sharedLimit()))
    return "attention: heads are wider than this GPU’s shared memory takes";
  if (s.B * s.H > 65535) return "attention: a launch takes at most 65535 heads of all sequences together";
  return nullptr;
}

/** The kernel for heads of this width. */
std::string forHeads(const char *kernel, int64_t d, int32_t type) {
  const char *size = d <= 32 ? "_of32" : d <= 64 ? "_of64" : d <= 128 ? "_of128" : "_of256";
  return forType((std::string(kernel) + size).c_str(), type);
}

int64_t tilesOf(int64_t rows, int64_t tile = attentionTile) { return (rows + tile - 1) / tile; }

/** A kernel by tensor cores; heads it takes are of one of three widths. */
template <class... A>
void launchFlash(const char *kernel, const AttentionSizes &s, Grid grid, int64_t fullTiles, int64_t queryTiles, A... arguments) {
  const int64_t D = flashColumns(s.d);
  const int64_t bytes = flashTileBytes(fullTiles * flashTile, D) + flashTileBytes(queryTiles * flashQueryRows(D), D);
  launch(std::string(kernel) + "_of" + std::to_string(D) + "_bf16", grid, flashThreads, bytes, arguments..., s);
}

void gradientByTensorCores(const AttentionSizes &s, const bf16 *const *in, bf16 *const *out, float *statistics) {
  const Grid queries{tilesOf(s.T, flashTile), s.B * s.H}, keys{tilesOf(s.S, flashTile), s.B * s.K};
  const float *known = statistics;
  launchFlash("flashStatistics", s, queries, 4, 0, in[0], in[1], in[2], in[3], statistics);
  launchFlash("flashQueryGrad", s, queries, 4, 0, in[0], in[1], in[2], in[3], known, out[0]);
  launchFlash("flashKeyGrad", s, keys, 2, 3, in[0], in[1], in[2], in[3], known, out[1], out[2]);
}

template <class T>
void gradient(const AttentionSizes &s, int32_t type, const T *const *in, T *const *out, float *statistics) {
  const Grid queries{tilesOf(s.T), s.B * s.H}, keys{tilesOf(s.S), s.B * s.K};
  launch(forHeads("attentionStatistics", s.d, type), queries, 256, bytesOf(3, 0, s.d), in[0], in[1], in[2], in[3],
         statistics, s);
  const float *known = statistics;
  launch(forHeads("attentionQueryGrad", s.d, type), queries, 256, bytesOf(3, 1, s.d), in[0], in[1], in[2], in[3], known,
         out[0], s);
  launch(forHeads("attentionKeyGrad", s.d, type), keys, 256, bytesOf(3, 2, s.d), in[0], in[1], in[2], in[3], known, out[1],
         out[2], s);
}

}  // namespace

/** Buffers: q [B·T·H·d], k, v [B·S·K·d], y as q; one type. Numbers: B, T, S, H, K, d. */
const char *causal_attention(const vwn_call *raw) {
  Call call(raw, 4, 6);
  const AttentionSizes s = sizesOf(call);
  const int64_t sharedBytes = bytesOf(2, 1, s.d);
  const bool byTensorCores = usesTensorCores(s, call.type(3));
  if (const char *problem = problemOf(s, byTensorCores, sharedBytes)) return problem;
  void *q = call.reals(0, {s.B, s.T, s.H, s.d}), *k = call.reals(1, {s.B, s.S, s.K, s.d});
  void *v = call.reals(2, {s.B, s.S, s.K, s.d}), *y = call.reals(3, {s.B, s.T, s.H, s.d});
  call.sameType({0, 1, 2, 3});
  if (call.problem()) return call.problem();
  withFloats(y, call.type(3), [&](auto *out) {
    using T = std::remove_pointer_t<decltype(out)>;
    const T *const in[] = {static_cast<const T *>(q), static_cast<const T *>(k), static_cast<const T *>(v)};
    if (byTensorCores) launchFlash("flash", s, {tilesOf(s.T, flashTile), s.B * s.H}, 3, 0, in[0], in[1], in[2], out);
    else
      launch(forHeads("attention", s.d, call.type(3)), {tilesOf(s.T), s.B * s.H}, 256, sharedBytes, in[0], in[1], in[2], out, s);
  });
  return nullptr;
}

/** Buffers: q, k, v, dy, dq, dk, dv; one type. Numbers: B, T, S, H, K, d. */
const char *causal_attention_grad(const vwn_call *raw) {
  Call call(raw, 7, 6);
  const AttentionSizes s = sizesOf(call);
  const bool byTensorCores = usesTensorCores(s, call.type(4));
  if (const char *problem = problemOf(s, byTensorCores, bytesOf(3, 2, s.d))) return problem;
  const int64_t ofQ = Call::product({s.B, s.T, s.H, s.d}), ofK = Call::product({s.B, s.S, s.K, s.d});
  const int64_t sizes[] = {ofQ, ofK, ofK, ofQ, ofQ, ofK, ofK};
  void *p[7];
  for (int i = 0; i < 7; i++) p[i] = call.reals(i, {sizes[i]});
  call.sameType({0, 1, 2, 3, 4, 5, 6});
  if (call.problem()) return call.problem();
  float *statistics = static_cast<float *>(scratch(Slot::rows, (s.B * s.H * s.T + 1) * 8));
  withFloats(p[4], call.type(4), [&](auto *dq) {
    using T = std::remove_pointer_t<decltype(dq)>;
    const T *const in[] = {static_cast<const T *>(p[0]), static_cast<const T *>(p[1]), static_cast<const T *>(p[2]),
                           static_cast<const T *>(p[3])};
    T *const out[] = {dq, static_cast<T *>(p[5]), static_cast<T *>(p[6])};
    if constexpr (std::is_same_v<T, bf16>)
      if (byTensorCores) return gradientByTensorCores(s, in, out, statistics);
    gradient(s, call.type(4), in, out, statistics);
  });
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
