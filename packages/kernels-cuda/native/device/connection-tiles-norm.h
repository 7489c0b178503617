/**
 * The way back through the sublayer's norm of a connection step by tensor cores, for all tokens of a block: with g = dx·weight and
 * r = 1/rms of what was read, dRead = r·g − read·mean(g·read)·r³.
 */
#pragma once
#include "connection-tiles-grad.h"

namespace vwn {
namespace cuda {

/** Shows a warp's part of the squares of what was read and of g·read, of its token: zeros where there is none. */
template <class S>
VWN_DEVICE void showNormSums(const ConnectionShape &s, const GradRoom &room, const Stage &stage, int tokens) {
  const auto [token, part, parts] = shareOfTokens(tokens, room.warp, S::warps);
  const int m = static_cast<int>(s.m), stride = strideOfRead(s.db);
  const Divisor ofRow(s.db / 2);
  const float *read = room.read() + token * m * stride, *weight = stage.set.parameters.sublayerNorm;
  bf16 *dx = stage.backbone + token * m * room.stride;
  float squares = 0, dot = 0;
#pragma unroll 2
  for (int at = part * warpSize_ + laneOfWarp(); token < stage.tokens && at < m * ofRow.by; at += warpSize_ * parts) {
    const int c = ofRow.quotient(at), d = 2 * (at - c * ofRow.by);
    const FloatPair of = pairAt(weight + 2 * at), x = pairAt(read + c * stride + d);
    const uint32_t up = pairAt(dx + c * room.stride + d);
    squares += x.lower * x.lower + x.upper * x.upper;
    dot += lowerOf(up) * of.lower * x.lower + upperOf(up) * of.upper * x.upper;
  }
  squares = warpSum(squares), dot = warpSum(dot);
  if (laneOfWarp() == 0) putPair(room.sums + 2 * (token * parts + part), {squares, dot});
}

/** What the norm needs of a token: r, and mean(g·read)·r³. */
struct NormOfToken {
  float r, shift;
};

/** Of all tokens, from what warps have shown: two sums of each, those of one token behind those of another. */
template <class S, int most>
VWN_DEVICE void normsOfTokens(const ConnectionShape &s, const GradRoom &room, int tokens, NormOfToken (&to)[most]) {
  const int ofToken = 2 * shareOfTokens(tokens, room.warp, S::warps).parts;
  float sum = room.sums[laneOfWarp() % (2 * S::warps)];
  for (int apart = 2; apart < ofToken; apart *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, apart);
  const float other = __shfl_xor_sync(0xffffffffu, sum, 1), squares = laneOfWarp() % 2 ? other : sum, dot = laneOfWarp() % 2 ? sum : other;
  const float r = reciprocalOfRead(s, squares), shift = dot * r * r * r / static_cast<float>(s.m * s.db);
#pragma unroll
  for (int token = 0; token < most; token++) {
    if (token >= tokens) break;
    to[token] = {__shfl_sync(0xffffffffu, r, token * ofToken), __shfl_sync(0xffffffffu, shift, token * ofToken)};
  }
}

/** dx becomes dRead, and the gradient of the norm's weight grows. Needed is what was read; ends with a barrier. */
template <class S>
VWN_DEVICE void throughNorm(const ConnectionShape &s, const GradRoom &room, const Stage &stage) {
  constexpr int mostTokens = mostTileRows / S::ofToken;
  const int tokens = stage.rows / S::ofToken, m = static_cast<int>(s.m), stride = strideOfRead(s.db);
  showNormSums<S>(s, room, stage, tokens);
  __syncthreads();
  NormOfToken norms[mostTokens];
  normsOfTokens<S>(s, room, tokens, norms);
  eachPairOfBackbone(s.m, s.db, [&](int c, int d, int i) {
    const FloatPair weight = pairAt(stage.set.parameters.sublayerNorm + i);
    FloatPair sum = pairAt(room.ofNorm + i);
#pragma unroll
    for (int token = 0; token < mostTokens; token++) {
      if (token >= stage.tokens) break;
      const auto [r, shift] = norms[token];
      const FloatPair x = pairAt(room.read() + (token * m + c) * stride + d);
      uint32_t &at = pairAt(stage.backbone + (token * m + c) * room.stride + d);
      const float lower = lowerOf(at) * r, upper = upperOf(at) * r;
      sum.lower += lower * x.lower, sum.upper += upper * x.upper;
      at = packed(lower * weight.lower - x.lower * shift, upper * weight.upper - x.upper * shift);
    }
    putPair(room.ofNorm + i, sum);
  });
  __syncthreads();
}

}  // namespace cuda
}  // namespace vwn
