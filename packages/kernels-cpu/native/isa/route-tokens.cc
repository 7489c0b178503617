/** Which expert gets which token: softmax, the k likeliest, rows sorted by expert; and the gradient of the logits. */
#include <algorithm>

#include "call.h"
#include "kernels.h"
#include "rows.h"
#include "vwn_arguments.h"

namespace vwn {
namespace VWN_ISA {
namespace {

template <class T>
void softmax(const T *logits, int64_t size, float *p) {
  float largest = -INFINITY, sum = 0;
  for (int64_t e = 0; e < size; e++) largest = std::max(largest, toFloat(logits[e]));
  eachVector(
      size, [&](int64_t j) { store(p + j, vexp(load(logits + j) - largest)); },
      [&](int64_t j, int64_t n) { storeFirst(p + j, vexp(loadFirst(logits + j, n) - largest), n); });
  for (int64_t e = 0; e < size; e++) sum += p[e];
  for (int64_t e = 0; e < size; e++) p[e] /= sum;
}

/**
 * The k largest of p, of equal ones the first, by rising index. Always k different ones, whatever is NaN: one that is not
 * larger than any other displaces none.
 */
void likeliest(const float *p, int64_t size, int64_t k, int32_t *chosen) {
  for (int64_t e = 0, found = 0; e < size; e++) {
    if (found == k && !(p[e] > p[chosen[k - 1]])) continue;
    int64_t at = found < k ? found++ : k - 1;
    for (; at > 0 && p[e] > p[chosen[at - 1]]; at--) chosen[at] = chosen[at - 1];
    chosen[at] = static_cast<int32_t>(e);
  }
  std::sort(chosen, chosen + k);
}

/** `rows` holds each token's experts, rising; turns them into rows, in the order of tokens within each expert. */
void sortRows(const RouteTokensArguments &in) {
  const int64_t R = in.tokens * in.k;
  int32_t *ends = in.offsets + 1;
  std::fill(in.offsets, in.offsets + in.experts + 1, 0);
  for (int64_t i = 0; i < R; i++) ends[in.rows[i]]++;
  for (int64_t e = 0; e < in.experts; e++) {
    in.shares[e] = in.tokens > 0 ? static_cast<float>(ends[e]) / static_cast<float>(in.tokens) : 0.0f;
    ends[e] += in.offsets[e];
  }
  // offsets[e] goes from where e begins to where it ends, which is where e + 1 begins.
  for (int64_t token = 0; token < in.tokens; token++) {
    const float *p = in.probabilities + token * in.experts;
    int32_t *rows = in.rows + token * in.k;
    float sum = 0;
    for (int64_t j = 0; j < in.k; j++) sum += p[rows[j]];
    for (int64_t j = 0; j < in.k; j++) {
      const int32_t expert = rows[j];
      rows[j] = in.offsets[expert]++;
      in.tokenOf[rows[j]] = static_cast<int32_t>(token);
      in.weights[rows[j]] = p[expert] / sum;
    }
  }
  for (int64_t e = in.experts; e > 0; e--) in.offsets[e] = in.offsets[e - 1];
  in.offsets[0] = 0;
}

const char *checkLists(const RouteTokensGradArguments &in) {
  const int64_t R = in.tokens * in.k;
  bool fits = in.offsets[0] == 0 && in.offsets[in.experts] == R;
  for (int64_t e = 0; e < in.experts; e++) fits = fits && in.offsets[e] <= in.offsets[e + 1];
  for (int64_t i = 0; i < R; i++) fits = fits && in.rows[i] >= 0 && in.rows[i] < R;
  return fits ? nullptr : "offsets or rows do not share out the tokens, and must be offsets that rise from 0 to the number of rows, and rows below it";
}

/** With w = p/Σp over a token's rows: dp = dProbabilities + (dw − Σ w·dw)/Σp, and dLogits = p·(dp − Σ p·dp). */
template <class T>
void tokenGrad(const RouteTokensGradArguments &in, int64_t token, T *dLogits) {
  const float *p = in.probabilities + token * in.experts, *dp = in.dProbabilities + token * in.experts;
  const int32_t *rows = in.rows + token * in.k;
  const auto expertOf = [&](int32_t row) {
    return std::upper_bound(in.offsets, in.offsets + in.experts + 1, row) - in.offsets - 1;
  };
  float sum = 0, dot = 0, total = 0;
  for (int64_t j = 0; j < in.k; j++) {
    const float kept = p[expertOf(rows[j])];
    sum += kept;
    dot += kept * in.dWeights[rows[j]];
  }
  dot /= sum;
  for (int64_t e = 0; e < in.experts; e++) total += p[e] * dp[e];
  for (int64_t j = 0; j < in.k; j++) total += p[expertOf(rows[j])] * (in.dWeights[rows[j]] - dot) / sum;
  for (int64_t e = 0; e < in.experts; e++) fromFloat(dLogits + e, p[e] * (dp[e] - total));
  for (int64_t j = 0; j < in.k; j++) {
    const auto e = expertOf(rows[j]);
    fromFloat(dLogits + e, p[e] * (dp[e] + (in.dWeights[rows[j]] - dot) / sum - total));
  }
}

}  // namespace

/** See RouteTokensArguments. */
const char *route_tokens(const vwn_call *raw) {
  Call call(raw, 7, 3);
  const RouteTokensArguments in(call);
  if (call.problem()) return call.problem();
  if (const char *problem = in.problem()) return problem;
  return withFloats(in.logits.data, in.logits.type, [&](const auto *logits) {
    parallelRange(in.tokens, leastRows(16 * in.experts), [&](int64_t begin, int64_t end) {
      for (int64_t token = begin; token < end; token++) {
        float *p = in.probabilities + token * in.experts;
        softmax(logits + token * in.experts, in.experts, p);
        likeliest(p, in.experts, in.k, in.rows + token * in.k);
      }
    });
    sortRows(in);
    return static_cast<const char *>(nullptr);
  });
}

/** See RouteTokensGradArguments. */
const char *route_tokens_grad(const vwn_call *raw) {
  Call call(raw, 6, 3);
  const RouteTokensGradArguments in(call);
  if (call.problem()) return call.problem();
  if (const char *problem = in.problem()) return problem;
  if (const char *problem = checkLists(in)) return problem;
  return withFloats(in.dLogits.data, in.dLogits.type, [&](auto *dLogits) {
    parallelRange(in.tokens, leastRows(16 * in.experts), [&](int64_t begin, int64_t end) {
      for (int64_t token = begin; token < end; token++) tokenGrad(in, token, dLogits + token * in.experts);
    });
    return static_cast<const char *>(nullptr);
  });
}

}  // namespace VWN_ISA
}  // namespace vwn
