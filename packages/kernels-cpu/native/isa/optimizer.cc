/** Clipping's norm and AdamW over all tensors of a model at once, in place. */
#include <vector>

#include "../workspace.h"
#include "call.h"
#include "kernels.h"
#include "rows.h"
#include "vwn_adamw.h"

namespace vwn {
namespace VWN_ISA {
namespace {

/** Elements of one task: tensors are cut at fixed places, so that sums do not depend on the number of threads. */
constexpr int64_t pieceSize = 32768;

struct Piece {
  int tensor;
  int64_t begin, end;
};

/** `sizeOf(t)` elements of each tensor t. */
template <class SizeOf>
std::vector<Piece> piecesOf(int tensors, const SizeOf &sizeOf) {
  std::vector<Piece> pieces;
  for (int t = 0; t < tensors; t++)
    for (int64_t begin = 0, size = sizeOf(t); begin < size; begin += pieceSize)
      pieces.push_back({t, begin, begin + pieceSize < size ? begin + pieceSize : size});
  return pieces;
}

/** p ← p·shrink − stepSize·m/(√v·correction + eps), of elements [begin, end). */
VWN_INLINE void adam(const AdamwArguments &in, const AdamwTensor &of, int64_t begin, int64_t end) {
  const float *factors = in.factors + 3 * of.row, scale = *in.gradScale;
  const float shrink = factors[0], stepSize = factors[1], correction = factors[2];
  float *p = of.parameter + begin, *m = of.first + begin, *v = of.second + begin;
  const float *g = of.gradient + begin;
  bf16 *rounded = of.rounded ? static_cast<bf16 *>(of.rounded) + begin : nullptr;
  const auto one = [&](vf param, vf grad, vf &first, vf &second) {
    grad *= scale;
    first = first * in.beta1 + grad * (1.0f - in.beta1);
    second = second * in.beta2 + grad * grad * (1.0f - in.beta2);
    return param * shrink - stepSize * (first / (vsqrt(second) * correction + in.eps));
  };
  eachVector(
      end - begin,
      [&](int64_t i) {
        vf first = load(m + i), second = load(v + i);
        const vf next = one(load(p + i), load(g + i), first, second);
        store(p + i, next), store(m + i, first), store(v + i, second);
        if (rounded) store(rounded + i, next);
      },
      [&](int64_t i, int64_t n) {
        vf first = loadFirst(m + i, n), second = loadFirst(v + i, n);
        const vf next = one(loadFirst(p + i, n), loadFirst(g + i, n), first, second);
        storeFirst(p + i, next, n), storeFirst(m + i, first, n), storeFirst(v + i, second, n);
        if (rounded) storeFirst(rounded + i, next, n);
      });
}

}  // namespace

/** See AdamwArguments. */
const char *adamw(const vwn_call *raw) {
  Call call(raw, 2, 4);
  const AdamwArguments in(call);
  if (in.problem()) return in.problem();
  if (call.problem()) return call.problem();
  if (std::isnan(*in.gradScale)) return nullptr;
  const std::vector<Piece> pieces = piecesOf(static_cast<int>(in.tensors.size()), [&](int t) { return in.tensors[static_cast<size_t>(t)].size; });
  parallelFor(static_cast<int64_t>(pieces.size()), [&](int64_t index, int) {
    const Piece &piece = pieces[static_cast<size_t>(index)];
    adam(in, in.tensors[static_cast<size_t>(piece.tensor)], piece.begin, piece.end);
  });
  return nullptr;
}

/**
 * Buffers: norm, loss, result, float32 [1] each: what gradients of this norm are multiplied by so that it is at most the
 * number, maxNorm (0: any); NaN where norm or loss is not finite.
 */
const char *clip_scale(const vwn_call *raw) {
  Call call(raw, 3, 1);
  const float *norm = call.floats(0, 1), *loss = call.floats(1, 1);
  float *result = call.floats(2, 1);
  if (call.problem()) return call.problem();
  const float most = call.real(0), scale = most / (*norm + 1e-6f);
  const bool finite = std::isfinite(*norm) && std::isfinite(*loss);
  *result = !finite ? std::nanf("") : most > 0.0f && scale < 1.0f ? scale : 1.0f;
  return nullptr;
}

/** Buffers: tensors float32, last the result float32 [1]: the square root of the sum of all squares. */
const char *global_norm(const vwn_call *raw) {
  Call call(raw, 1, 0);
  if (call.problem()) return call.problem();
  const int tensors = call.buffers() - 1;
  float *result = call.floats(tensors, 1);
  std::vector<const float *> data;
  for (int t = 0; t < tensors; t++) data.push_back(call.floats(t, call.size(t)));
  if (call.problem()) return call.problem();
  const std::vector<Piece> pieces = piecesOf(tensors, [&](int t) { return call.size(t); });
  std::vector<double> sums(pieces.size());
  parallelFor(static_cast<int64_t>(pieces.size()), [&](int64_t index, int) {
    const Piece &piece = pieces[static_cast<size_t>(index)];
    const float *x = data[static_cast<size_t>(piece.tensor)] + piece.begin;
    vf total = {};
    eachVector(
        piece.end - piece.begin, [&](int64_t i) { total += load(x + i) * load(x + i); },
        [&](int64_t i, int64_t n) { total += loadFirst(x + i, n) * loadFirst(x + i, n); });
    sums[static_cast<size_t>(index)] = sumLanes(total);
  });
  double sum = 0;
  for (const double each : sums) sum += each;
  *result = static_cast<float>(std::sqrt(sum));
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
