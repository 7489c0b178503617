/** Clipping's norm and AdamW over all tensors of a model at once, in place. */
#include <vector>

#include "../workspace.h"
#include "call.h"
#include "kernels.h"
#include "rows.h"

namespace vwn {
namespace VWN_ISA {
namespace {

/** Elements of one task: tensors are cut at fixed places, so that sums do not depend on the number of threads. */
constexpr int64_t pieceSize = 32768;

struct Piece {
  int tensor;
  int64_t begin, end;
};

/** Pieces of the tensors whose first buffers are 0, stride, 2·stride, …. */
std::vector<Piece> piecesOf(const Call &call, int tensors, int stride) {
  std::vector<Piece> pieces;
  for (int t = 0; t < tensors; t++)
    for (int64_t begin = 0, size = call.size(t * stride); begin < size; begin += pieceSize)
      pieces.push_back({t, begin, begin + pieceSize < size ? begin + pieceSize : size});
  return pieces;
}

struct Update {
  float beta1, beta2, eps, gradScale;
  const float *factors; /* [rows, 3]: shrink, stepSize, correction */
};

/** p ← p·shrink − stepSize·m/(√v·correction + eps) */
VWN_INLINE void adam(float *p, const float *g, float *m, float *v, const Update &u, int64_t row, int64_t count) {
  const float shrink = u.factors[3 * row], stepSize = u.factors[3 * row + 1], correction = u.factors[3 * row + 2];
  const auto one = [&](vf param, vf grad, vf &first, vf &second) {
    grad *= u.gradScale;
    first = first * u.beta1 + grad * (1.0f - u.beta1);
    second = second * u.beta2 + grad * grad * (1.0f - u.beta2);
    return param * shrink - stepSize * (first / (vsqrt(second) * correction + u.eps));
  };
  eachVector(
      count,
      [&](int64_t i) {
        vf first = load(m + i), second = load(v + i);
        store(p + i, one(load(p + i), load(g + i), first, second));
        store(m + i, first);
        store(v + i, second);
      },
      [&](int64_t i, int64_t n) {
        vf first = loadFirst(m + i, n), second = loadFirst(v + i, n);
        storeFirst(p + i, one(loadFirst(p + i, n), loadFirst(g + i, n), first, second), n);
        storeFirst(m + i, first, n);
        storeFirst(v + i, second, n);
      });
}

}  // namespace

/**
 * Buffers: for each tensor param, grad, m, v, all float32 of one size; param, m and v are updated in place. Then factors
 * [rows, 3] (as in adam() above), and gradScale [1]: NaN says that nothing is to change.
 * Numbers: tensors, beta1, beta2, eps, then for each tensor its row of factors.
 */
const char *adamw(const vwn_call *raw) {
  Call call(raw, 2, 4);
  const int64_t count = call.dimension(0);
  if (count > call.buffers() || call.buffers() != 4 * count + 2 || raw->number_count != 4 + count)
    return "adamw takes four buffers and one number a tensor, and two buffers behind them";
  const int tensors = static_cast<int>(count);
  const int64_t rows = call.size(4 * tensors) / 3;
  std::vector<float *> data;
  std::vector<int64_t> rowOf;
  for (int t = 0; t < tensors; t++) {
    rowOf.push_back(call.dimension(4 + t));
    if (rowOf.back() >= rows) return "adamw: a tensor's row of factors is not there";
    for (int i = 0; i < 4; i++) data.push_back(call.floats(4 * t + i, call.size(4 * t)));
  }
  const float *factors = call.floats(4 * tensors, 3 * rows), *gradScale = call.floats(4 * tensors + 1, 1);
  if (call.problem()) return call.problem();
  const Update update{call.real(1), call.real(2), call.real(3), *gradScale, factors};
  if (std::isnan(update.gradScale)) return nullptr;
  const std::vector<Piece> pieces = piecesOf(call, tensors, 4);
  parallelFor(static_cast<int64_t>(pieces.size()), [&](int64_t index, int) {
    const Piece &piece = pieces[static_cast<size_t>(index)];
    float *const *each = data.data() + 4 * piece.tensor;
    adam(each[0] + piece.begin, each[1] + piece.begin, each[2] + piece.begin, each[3] + piece.begin, update,
         rowOf[static_cast<size_t>(piece.tensor)], piece.end - piece.begin);
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
  const std::vector<Piece> pieces = piecesOf(call, tensors, 1);
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
