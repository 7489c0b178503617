/** Which expert gets which token: softmax, the k likeliest, rows sorted by expert; and the gradient of the logits. */
#include "device.h"

namespace vwn {
namespace cuda {
namespace {

template <class T>
VWN_DEVICE void softmaxOf(const T *logits, int64_t size, float *p) {
  float largest = -INFINITY, sum = 0;
  for (int64_t e = 0; e < size; e++) largest = fmaxf(largest, toFloat(logits[e]));
  for (int64_t e = 0; e < size; e++) {
    p[e] = expf(toFloat(logits[e]) - largest);
    sum += p[e];
  }
  for (int64_t e = 0; e < size; e++) p[e] /= sum;
}

/** The k largest of p, of equal ones the first, by rising index; always k different ones, whatever is NaN. */
VWN_DEVICE void likeliestOf(const float *p, int64_t size, int64_t k, int32_t *chosen) {
  for (int64_t e = 0, found = 0; e < size; e++) {
    if (found == k && !(p[e] > p[chosen[k - 1]])) continue;
    int64_t at = found < k ? found++ : k - 1;
    for (; at > 0 && p[e] > p[chosen[at - 1]]; at--) chosen[at] = chosen[at - 1];
    chosen[at] = static_cast<int32_t>(e);
  }
  for (int64_t i = 1; i < k; i++) {
    const int32_t expert = chosen[i];
    int64_t at = i;
    for (; at > 0 && chosen[at - 1] > expert; at--) chosen[at] = chosen[at - 1];
    chosen[at] = expert;
  }
}

/** A thread a token: its probabilities, and its experts by rising index, chosen [N, k]. */
template <class T>
VWN_DEVICE void chooseExperts(const T *logits, float *p, int32_t *chosen, int64_t tokens, int64_t experts, int64_t k) {
  for (int64_t token = gridThread(); token < tokens; token += gridThreads()) {
    softmaxOf(logits + token * experts, experts, p + token * experts);
    likeliestOf(p + token * experts, experts, k, chosen + token * k);
  }
}
VWN_FLOATS(chooseExperts, (const real *logits, float *p, int32_t *chosen, int64_t tokens, int64_t experts, int64_t k),
           (logits, p, chosen, tokens, experts, k))

/** Sum over a block, the same in all threads; `room`: 32 integers that the block shares. */
VWN_DEVICE int64_t blockCount(int64_t x, int64_t *room) {
  for (int lanes = warpSize_ / 2; lanes > 0; lanes /= 2) x += __shfl_xor_sync(0xffffffffu, x, lanes);
  __syncthreads();
  if (threadIdx.x % warpSize_ == 0) room[threadIdx.x / warpSize_] = x;
  __syncthreads();
  int64_t sum = 0;
  for (int i = 0; i < static_cast<int>(blockDim.x) / warpSize_; i++) sum += room[i];
  return sum;
}

VWN_DEVICE int bitsOf(unsigned mask) {
  int count = 0;
  for (; mask; mask &= mask - 1) count++;
  return count;
}

/** Threads before this one whose flag is set, and in `total` all of them. `masks`: 32 words that the block shares. */
VWN_DEVICE int64_t rankOf(bool flag, unsigned *masks, int64_t &total) {
  const unsigned mask = votes(flag);
  __syncthreads();
  if (threadIdx.x % warpSize_ == 0) masks[threadIdx.x / warpSize_] = mask;
  __syncthreads();
  int64_t before = bitsOf(mask & ((1u << threadIdx.x % warpSize_) - 1u));
  total = 0;
  for (int warp = 0; warp < static_cast<int>(blockDim.x) / warpSize_; warp++) {
    if (warp < static_cast<int>(threadIdx.x) / warpSize_) before += bitsOf(masks[warp]);
    total += bitsOf(masks[warp]);
  }
  return before;
}

/** Probability of `expert` over that of all that were chosen. */
VWN_DEVICE float shareOf(const float *p, const int32_t *chosen, int64_t k, int64_t expert) {
  float sum = 0;
  for (int64_t j = 0; j < k; j++) sum += p[chosen[j]];
  return p[expert] / sum;
}

/** Where the tokens are written that an expert gets. */
struct Lists {
  float *weights;
  int32_t *tokenOf, *rows, *offsets;
  float *shares;
};

/** A block an expert: counts the rows of experts before it, then numbers its own in the order of tokens. */
template <class T>
VWN_DEVICE void sortRows(const float *p, const int32_t *chosen, const Lists &lists, int64_t tokens, int64_t experts,
                         int64_t k) {
  VWN_SHARED(int64_t, room);
  const int64_t expert = blockIdx.x, threads = blockDim.x;
  int64_t lower = 0, same = 0;
  for (int64_t i = threadIdx.x; i < tokens * k; i += threads) {
    lower += chosen[i] < expert;
    same += chosen[i] == expert;
  }
  const int64_t first = blockCount(lower, room), count = blockCount(same, room);
  if (threadIdx.x == 0) {
    lists.offsets[expert] = static_cast<int32_t>(first);
    if (expert + 1 == experts) lists.offsets[experts] = static_cast<int32_t>(tokens * k);
    lists.shares[expert] = tokens > 0 ? static_cast<float>(count) / static_cast<float>(tokens) : 0.0f;
  }
  for (int64_t from = 0, row = first; from < tokens; from += threads) {
    const int64_t token = from + threadIdx.x;
    const int32_t *own = chosen + token * k;
    int64_t slot = 0, total = 0;
    while (token < tokens && slot < k && own[slot] != expert) slot++;
    const bool isIts = token < tokens && slot < k;
    const int64_t at = row + rankOf(isIts, reinterpret_cast<unsigned *>(room), total);
    row += total;
    if (!isIts) continue;
    lists.rows[token * k + slot] = static_cast<int32_t>(at);
    lists.tokenOf[at] = static_cast<int32_t>(token);
    lists.weights[at] = shareOf(p + token * experts, own, k, expert);
  }
}
VWN_SINGLE(sortRows,
           (const float *p, const int32_t *chosen, float *weights, int32_t *tokenOf, int32_t *rows, int32_t *offsets,
            float *shares, int64_t tokens, int64_t experts, int64_t k),
           (p, chosen, Lists{weights, tokenOf, rows, offsets, shares}, tokens, experts, k))

/** What a token's gradient is made of: lists are checked before they are read. */
struct Token {
  const float *p, *dp, *dWeights;
  const int32_t *rows, *offsets;
  int64_t experts, k;

  /** Expert of the token's j-th row. */
  VWN_DEVICE int64_t expertOf(int64_t j) const {
    int64_t e = 0;
    while (e + 1 < experts && offsets[e + 1] <= rows[j]) e++;
    return e;
  }
};

/** With w = p/Σp over a token's rows: dp = dProbabilities + (dw − Σ w·dw)/Σp, and dLogits = p·(dp − Σ p·dp). */
template <class T>
VWN_DEVICE void tokenGrad(const Token &of, T *dLogits) {
  float sum = 0, dot = 0, total = 0;
  for (int64_t j = 0; j < of.k; j++) {
    const float kept = of.p[of.expertOf(j)];
    sum += kept;
    dot += kept * of.dWeights[of.rows[j]];
  }
  dot /= sum;
  for (int64_t e = 0; e < of.experts; e++) total += of.p[e] * of.dp[e];
  for (int64_t j = 0; j < of.k; j++) total += of.p[of.expertOf(j)] * (of.dWeights[of.rows[j]] - dot) / sum;
  for (int64_t e = 0; e < of.experts; e++) put(dLogits[e], of.p[e] * (of.dp[e] - total));
  for (int64_t j = 0; j < of.k; j++) {
    const int64_t e = of.expertOf(j);
    put(dLogits[e], of.p[e] * (of.dp[e] + (of.dWeights[of.rows[j]] - dot) / sum - total));
  }
}

/** A thread a token; none whose rows are not there. */
template <class T>
VWN_DEVICE void routeGrad(const float *p, const int32_t *rows, const int32_t *offsets, const float *dp,
                          const float *dWeights, T *dLogits, int64_t tokens, int64_t experts, int64_t k, int32_t *problem) {
  for (int64_t e = gridThread(); e <= experts; e += gridThreads())
    if (e == 0 ? offsets[0] != 0 : offsets[e] < offsets[e - 1] || (e == experts && offsets[e] != tokens * k)) tell(problem);
  for (int64_t token = gridThread(); token < tokens; token += gridThreads()) {
    const Token of{p + token * experts, dp + token * experts, dWeights, rows + token * k, offsets, experts, k};
    bool isThere = true;
    for (int64_t j = 0; j < k; j++) isThere = isThere && of.rows[j] >= 0 && of.rows[j] < tokens * k;
    if (isThere) tokenGrad(of, dLogits + token * experts);
    else tell(problem);
  }
}
VWN_FLOATS(routeGrad,
           (const float *p, const int32_t *rows, const int32_t *offsets, const float *dp, const float *dWeights,
            real *dLogits, int64_t tokens, int64_t experts, int64_t k, int32_t *problem),
           (p, rows, offsets, dp, dWeights, dLogits, tokens, experts, k, problem))

}  // namespace
}  // namespace cuda
}  // namespace vwn
