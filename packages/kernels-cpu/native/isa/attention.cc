/**
 * Causal attention with grouped key/value heads, a block of queries at a time against all keys that it sees: scores of
 * a block stay in the core's cache, no [T, S] matrix is stored, and softmax needs no second pass. Arithmetic in float32,
 * or for bf16 by pairs (attention-pairs.h). Tasks are (batch, key/value head) pairs, and in the forward pass blocks of
 * their queries.
 */
#include "../workspace.h"
#include "attention-pairs.h"
#include "kernels.h"

namespace vwn {
namespace VWN_ISA {
namespace {

template <class T>
void loadHeadForward(const Tensors<T> &x, const Sizes &s, int64_t b, int64_t head, const Head &to) {
  const int64_t stride = s.K * s.d, at = b * s.S * stride + head * s.d;
  if constexpr (inPairs<T>)
    if (usesPairs<T>(s)) return loadPairsForward(x, s, at, to);
  transposePadded(s.S, s.d, x.k + at, stride, to.keysT, s.keys);
  copyRows(x.v + at, stride, s.S, s.d, s.wide, to.rows);
}

template <class T>
void loadHeadBackward(const Tensors<T> &x, const Sizes &s, int64_t at, const Head &to) {
  const int64_t stride = s.K * s.d;
  if constexpr (inPairs<T>)
    if (usesPairs<T>(s)) return loadPairsBackward(x, s, at, to);
  transposePadded(s.S, s.d, x.k + at, stride, to.keysT, s.keys);
  transposePadded(s.S, s.d, x.v + at, stride, to.valuesT, s.keys);
  copyRows(x.k + at, stride, s.S, s.d, s.wide, to.rows);
}

template <class T>
void forwardBlock(const Tensors<T> &x, const Sizes &s, int64_t b, int64_t h, int64_t first, const Head &head, float *room, T *y, float *logSums) {
  const int64_t rows = s.T - first < s.forwardRows ? s.T - first : s.forwardRows, stride = s.H * s.d;
  const int64_t past = s.S - s.T, seen = past + first + rows, width = s.wholeKeys(seen);
  const int64_t at = (b * s.T + first) * stride + h * s.d;
  float *sums = logSums + (b * s.H + h) * s.T + first;
  if constexpr (inPairs<T>)
    if (usesPairs<T>(s)) return forwardBlockOfPairs(x, s, at, first, rows, head, room, y, sums);
  float *queries = room, *scores = queries + s.forwardRows * s.wide, *out = scores + s.forwardRows * s.keys;
  copyRows(x.q + at, stride, rows, s.d, s.wide, queries);
  smallProduct<Into::fresh>(rows, width, s.d, queries, s.wide, 1, head.keysT, s.keys, scores, s.keys);
  float inverse[mostForwardRows];
  for (int64_t i = 0; i < rows; i++)
    inverse[i] = softmaxRow(scores + i * s.keys, scores + i * s.keys, past + first + i + 1, width, s.scale, sums + i);
  smallProduct<Into::fresh>(rows, s.wide, seen, scores, s.keys, 1, head.rows, s.wide, out, s.wide);
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < s.wide; j += W) store(out + i * s.wide + j, load(out + i * s.wide + j) * inverse[i]);
  writeRows(out, s.wide, rows, s.d, y + at, stride);
}

template <class T>
const char *forward(const Tensors<T> &x, const Sizes &s, T *y, float *logSums) {
  const int64_t headFloats = s.d * s.keys + s.keys * s.wide, roomFloats = s.forwardRows * (2 * s.wide + s.keys);
  const ThreadScratch scratch = threadScratch(Slot::lanes, (headFloats + roomFloats) * 4);
  if (!scratch) return outOfMemory;
  // With fewer heads than threads, a head's queries are cut too; each part loads the head for itself.
  const int64_t heads = s.B * s.K, threads = threadCount();
  const int64_t blocks = s.group * ((s.T + s.forwardRows - 1) / s.forwardRows);
  int64_t parts = heads >= 4 * threads ? 1 : (4 * threads + heads - 1) / (heads < 1 ? 1 : heads);
  parts = parts > blocks ? blocks : parts;
  parallelFor(heads * parts, [&](int64_t task, int thread) {
    const AmxScope amx;
    const int64_t b = task / parts / s.K, k = task / parts % s.K;
    float *base = scratch.of<float>(thread);
    const Head head{base, nullptr, base + s.d * s.keys};
    loadHeadForward(x, s, b, k, head);
    // Later blocks see more keys: parts take every parts-th block, so that they cost the same.
    for (int64_t block = task % parts; block < blocks; block += parts)
      forwardBlock(x, s, b, k * s.group + block % s.group, block / s.group * s.forwardRows, head, base + headFloats, y, logSums);
  });
  return nullptr;
}

template <class T>
void backwardBlock(const BackwardTensors<T> &x, const Sizes &s, int64_t b, int64_t h, int64_t first, const Head &head, const Room &r, T *dq) {
  const int64_t rows = s.T - first < s.backwardRows ? s.T - first : s.backwardRows, stride = s.H * s.d;
  const int64_t past = s.S - s.T, seen = past + first + rows, width = s.wholeKeys(seen);
  const int64_t at = (b * s.T + first) * stride + h * s.d;
  QueryStatistics of[mostBackwardRows];
  for (int64_t i = 0; i < rows; i++)
    of[i] = {x.logSums[(b * s.H + h) * s.T + first + i], dotOfRows(x.dy + at + i * stride, x.y + at + i * stride, s.d)};
  if constexpr (inPairs<T>)
    if (usesPairs<T>(s)) return backwardBlockOfPairs(x, s, at, first, rows, of, head, r, dq);
  copyRows(x.q + at, stride, rows, s.d, s.wide, r.queries);
  copyRows(x.dy + at, stride, rows, s.d, s.wide, r.dOut);
  smallProduct<Into::fresh>(rows, width, s.d, r.queries, s.wide, 1, head.keysT, s.keys, r.p, s.keys);
  smallProduct<Into::fresh>(rows, width, s.d, r.dOut, s.wide, 1, head.valuesT, s.keys, r.dP, s.keys);
  for (int64_t i = 0, row = 0; i < rows; i++, row += s.keys)
    scoresGradient(r.p + row, r.dP + row, nullptr, past + first + i + 1, width, s.scale, of[i]);
  smallProduct<Into::sum>(seen, s.wide, rows, r.p, 1, s.keys, r.dOut, s.wide, r.dValues, s.wide);
  smallProduct<Into::sum>(seen, s.wide, rows, r.dP, 1, s.keys, r.queries, s.wide, r.dKeys, s.wide);
  smallProduct<Into::fresh>(rows, s.wide, seen, r.dP, s.keys, 1, head.rows, s.wide, r.dQuery, s.wide);
  writeRows(r.dQuery, s.wide, rows, s.d, dq + at, stride);
}

template <class T>
const char *backward(const BackwardTensors<T> &x, const Sizes &s, T *dq, T *dk, T *dv) {
  const int64_t matrix = s.d * s.keys, rows = s.keys * s.wide, block = s.backwardRows * s.wide, scores = s.backwardRows * s.keys;
  const ThreadScratch scratch = threadScratch(Slot::lanes, (2 * matrix + 3 * rows + 3 * block + 3 * scores) * 4);
  if (!scratch) return outOfMemory;
  parallelFor(s.B * s.K, [&](int64_t task, int thread) {
    const AmxScope amx;
    const int64_t b = task / s.K, k = task % s.K, stride = s.K * s.d, at = b * s.S * stride + k * s.d;
    float *base = scratch.of<float>(thread);
    const auto take = [&](int64_t floats) {
      float *here = base;
      base += floats;
      return here;
    };
    const Head head{take(matrix), take(matrix), take(rows)};
    const Room room{take(block), take(block), take(block), take(scores), take(scores), take(scores), take(rows), take(rows)};
    loadHeadBackward(x, s, at, head);
    std::memset(room.dKeys, 0, static_cast<size_t>(rows) * 4);
    std::memset(room.dValues, 0, static_cast<size_t>(rows) * 4);
    for (int64_t g = 0; g < s.group; g++)
      for (int64_t first = 0; first < s.T; first += s.backwardRows)
        backwardBlock(x, s, b, k * s.group + g, first, head, room, dq);
    writeRows(room.dKeys, s.wide, s.S, s.d, dk + at, stride);
    writeRows(room.dValues, s.wide, s.S, s.d, dv + at, stride);
  });
  return nullptr;
}

}  // namespace

/** Buffers: q [B·T·H·d], k, v [B·S·K·d], y as q, all of one type, and logSums [B·H·T]. Numbers: B, T, S, H, K, d. */
const char *causal_attention(const vwn_call *raw) {
  Call call(raw, 5, 6);
  const Sizes s(call);
  if (const char *problem = s.problem()) return problem;
  void *q = call.any(0, {s.B, s.T, s.H, s.d}), *k = call.any(1, {s.B, s.S, s.K, s.d});
  void *v = call.any(2, {s.B, s.S, s.K, s.d}), *y = call.any(3, {s.B, s.T, s.H, s.d});
  float *logSums = call.floats(4, {s.B, s.H, s.T});
  call.sameType({0, 1, 2, 3});
  if (call.problem()) return call.problem();
  return withFloats(y, call.type(3), [&](auto *out) {
    using T = std::remove_pointer_t<decltype(out)>;
    return forward<T>({static_cast<const T *>(q), static_cast<const T *>(k), static_cast<const T *>(v)}, s, out, logSums);
  });
}

/** Buffers: q, k, v, y, dy, logSums [B·H·T], dq, dk, dv; but for logSums of one type. Numbers: B, T, S, H, K, d. */
const char *causal_attention_grad(const vwn_call *raw) {
  Call call(raw, 9, 6);
  const Sizes s(call);
  if (const char *problem = s.problem()) return problem;
  const int64_t ofQ = Call::product({s.B, s.T, s.H, s.d}), ofK = Call::product({s.B, s.S, s.K, s.d});
  const int64_t sizes[] = {ofQ, ofK, ofK, ofQ, ofQ, 0, ofQ, ofK, ofK};
  const float *logSums = call.floats(5, {s.B, s.H, s.T});
  void *p[9];
  for (int i : {0, 1, 2, 3, 4, 6, 7, 8}) p[i] = call.any(i, sizes[i]);
  call.sameType({0, 1, 2, 3, 4, 6, 7, 8});
  if (call.problem()) return call.problem();
  return withFloats(p[6], call.type(6), [&](auto *dq) {
    using T = std::remove_pointer_t<decltype(dq)>;
    const auto in = [&](int i) { return static_cast<const T *>(p[i]); };
    const BackwardTensors<T> x{{in(0), in(1), in(2)}, in(3), in(4), logSums};
    return backward<T>(x, s, dq, static_cast<T *>(p[7]), static_cast<T *>(p[8]));
  });
}

}  // namespace VWN_ISA
}  // namespace vwn
