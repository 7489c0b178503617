/**
 * Causal attention with grouped key/value heads, a block of queries at a time against all keys that it sees: scores of
 * a block stay in the core's cache, no [T, S] matrix is stored, and softmax needs no second pass. Arithmetic in float32.
 * Tasks are (batch, key/value head) pairs, and in the forward pass blocks of their queries.
 */
#include "../workspace.h"
#include "call.h"
#include "kernels.h"
#include "rows.h"
#include "tile.h"
#include "transpose.h"

namespace vwn {
namespace VWN_ISA {
namespace {

VWN_INLINE int64_t roundUp(int64_t x) { return (x + W - 1) / W * W; }

struct Sizes {
  int64_t B, T, S, H, K, d;
  int64_t group, wide, keys; /* query heads a key head; d and S rounded up to whole vectors */
  float scale;

  explicit Sizes(Call &call)
      : B(call.dimension(0)), T(call.dimension(1)), S(call.dimension(2)), H(call.dimension(3)), K(call.dimension(4)), d(call.dimension(5)),
        group(K > 0 ? H / K : 0), wide(roundUp(d)), keys(roundUp(S)), scale(1.0f / std::sqrt(static_cast<float>(d))) {}

  const char *problem() const {
    if (K < 1 || H % K || S < T || d < 1) return "attention: heads or lengths do not fit together";
    return nullptr;
  }
};

/** Rows of one head, [count, d] at stride, as float32 rows of `wide`, times `scale`, zeros behind. */
template <class T>
void copyRows(const T *from, int64_t stride, int64_t count, int64_t d, int64_t wide, float scale, float *to) {
  const vf factor = splat(scale);
  for (int64_t i = 0; i < count; i++)
    for (int64_t j = 0; j < wide; j += W) {
      const int64_t left = d - j;
      store(to + i * wide + j, factor * (left >= W ? load(from + i * stride + j) : loadFirst(from + i * stride + j, left)));
    }
}

template <class T>
void writeRows(const float *from, int64_t wide, int64_t count, int64_t d, T *to, int64_t stride) {
  for (int64_t i = 0; i < count; i++)
    eachVector(
        d, [&](int64_t j) { store(to + i * stride + j, load(from + i * wide + j)); },
        [&](int64_t j, int64_t n) { storeFirst(to + i * stride + j, loadFirst(from + i * wide + j, n), n); });
}

/**
 * Row of scores → probabilities of the first `seen` keys, 0 for the rest up to `width`. Returns 1/Σ; with `normalize`
 * the row is multiplied by it already.
 */
VWN_INLINE float softmaxRow(float *row, int64_t seen, int64_t width, bool normalize) {
  const vf lowest = splat(-INFINITY);
  const int64_t whole = seen / W * W, rest = seen - whole;
  vi lane;
  for (int i = 0; i < W; i++) lane[i] = i;
  if (rest) {
    const vf last = load(row + whole);
    store(row + whole, lane < splati(static_cast<int32_t>(rest)) ? last : lowest);
  }
  const int64_t end = rest ? whole + W : whole;
  vf largest = lowest;
  for (int64_t j = 0; j < end; j += W) largest = vmax(load(row + j), largest);
  const vf top = splat(maxLanes(largest));
  vf total = {};
  for (int64_t j = 0; j < end; j += W) {
    const vf e = vexp(load(row + j) - top);
    total += e;
    store(row + j, e);
  }
  for (int64_t j = end; j < width; j += W) store(row + j, vf{});
  const float inverse = 1.0f / sumLanes(total);
  if (normalize)
    for (int64_t j = 0; j < end; j += W) store(row + j, load(row + j) * inverse);
  return inverse;
}

template <class T>
struct Tensors {
  const T *q, *k, *v, *dy;
};

/** What a thread holds of one key/value head. */
struct Head {
  float *keysT;   /* [d, keys] */
  float *valuesT; /* [d, keys], backward only */
  float *rows;    /* keys (backward) or values (forward), [S, wide] */
};

template <class T>
void loadHeadForward(const Tensors<T> &x, const Sizes &s, int64_t b, int64_t head, const Head &to) {
  const int64_t stride = s.K * s.d, at = b * s.S * stride + head * s.d;
  transposePadded(s.S, s.d, x.k + at, stride, to.keysT, s.keys);
  copyRows(x.v + at, stride, s.S, s.d, s.wide, 1.0f, to.rows);
}

constexpr int64_t forwardRows = 24, backwardRows = 36;

template <class T>
void forwardBlock(const Tensors<T> &x, const Sizes &s, int64_t b, int64_t h, int64_t first, const Head &head, float *room, T *y) {
  const int64_t rows = s.T - first < forwardRows ? s.T - first : forwardRows, stride = s.H * s.d;
  const int64_t past = s.S - s.T, seen = past + first + rows, width = roundUp(seen);
  float *queries = room, *scores = queries + forwardRows * s.wide, *out = scores + forwardRows * s.keys;
  const int64_t at = (b * s.T + first) * stride + h * s.d;
  copyRows(x.q + at, stride, rows, s.d, s.wide, s.scale, queries);
  smallProduct<Into::fresh>(rows, width, s.d, queries, s.wide, 1, head.keysT, s.keys, scores, s.keys);
  float inverse[forwardRows];
  for (int64_t i = 0; i < rows; i++) inverse[i] = softmaxRow(scores + i * s.keys, past + first + i + 1, width, false);
  smallProduct<Into::fresh>(rows, s.wide, seen, scores, s.keys, 1, head.rows, s.wide, out, s.wide);
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < s.wide; j += W) store(out + i * s.wide + j, load(out + i * s.wide + j) * inverse[i]);
  writeRows(out, s.wide, rows, s.d, y + at, stride);
}

template <class T>
const char *forward(const Tensors<T> &x, const Sizes &s, T *y) {
  const int64_t headFloats = s.d * s.keys + s.S * s.wide, roomFloats = forwardRows * (2 * s.wide + s.keys);
  const ThreadScratch scratch = threadScratch(Slot::lanes, (headFloats + roomFloats) * 4);
  if (!scratch) return outOfMemory;
  // With fewer heads than threads, a head's queries are cut too; each part loads the head for itself.
  const int64_t heads = s.B * s.K, threads = threadCount();
  const int64_t blocks = s.group * ((s.T + forwardRows - 1) / forwardRows);
  int64_t parts = heads >= 4 * threads ? 1 : (4 * threads + heads - 1) / (heads < 1 ? 1 : heads);
  parts = parts > blocks ? blocks : parts;
  parallelFor(heads * parts, [&](int64_t task, int thread) {
    const int64_t b = task / parts / s.K, k = task / parts % s.K;
    float *base = scratch.of<float>(thread);
    const Head head{base, nullptr, base + s.d * s.keys};
    loadHeadForward(x, s, b, k, head);
    // Later blocks see more keys: parts take every parts-th block, so that they cost the same.
    for (int64_t block = task % parts; block < blocks; block += parts)
      forwardBlock(x, s, b, k * s.group + block % s.group, block / s.group * forwardRows, head, base + headFloats, y);
  });
  return nullptr;
}

struct Room {
  float *queries, *dOut, *dQuery; /* [backwardRows, wide] */
  float *p, *dP;                  /* [backwardRows, keys] */
  float *dKeys, *dValues;         /* [S, wide] */
};

/** dScores = P ∘ (dP − Σ P∘dP), times the scale of the scores, into dP; one row. */
VWN_INLINE void scoresGradient(const float *p, float *dP, int64_t width, float scale) {
  vf dot = {};
  for (int64_t j = 0; j < width; j += W) dot += load(p + j) * load(dP + j);
  const vf mean = splat(sumLanes(dot)), factor = splat(scale);
  for (int64_t j = 0; j < width; j += W) store(dP + j, load(p + j) * (load(dP + j) - mean) * factor);
}

template <class T>
void backwardBlock(const Tensors<T> &x, const Sizes &s, int64_t b, int64_t h, int64_t first, const Head &head, const Room &r, T *dq) {
  const int64_t rows = s.T - first < backwardRows ? s.T - first : backwardRows, stride = s.H * s.d;
  const int64_t past = s.S - s.T, seen = past + first + rows, width = roundUp(seen);
  const int64_t at = (b * s.T + first) * stride + h * s.d;
  copyRows(x.q + at, stride, rows, s.d, s.wide, s.scale, r.queries);
  copyRows(x.dy + at, stride, rows, s.d, s.wide, 1.0f, r.dOut);
  smallProduct<Into::fresh>(rows, width, s.d, r.queries, s.wide, 1, head.keysT, s.keys, r.p, s.keys);
  smallProduct<Into::fresh>(rows, width, s.d, r.dOut, s.wide, 1, head.valuesT, s.keys, r.dP, s.keys);
  for (int64_t i = 0; i < rows; i++) {
    softmaxRow(r.p + i * s.keys, past + first + i + 1, width, true);
    scoresGradient(r.p + i * s.keys, r.dP + i * s.keys, width, 1.0f);
  }
  smallProduct<Into::sum>(seen, s.wide, rows, r.p, 1, s.keys, r.dOut, s.wide, r.dValues, s.wide);
  // The queries carry the scale already: dK = dSᵀ (q·scale), dQ = (dS K)·scale.
  smallProduct<Into::sum>(seen, s.wide, rows, r.dP, 1, s.keys, r.queries, s.wide, r.dKeys, s.wide);
  smallProduct<Into::fresh>(rows, s.wide, seen, r.dP, s.keys, 1, head.rows, s.wide, r.dQuery, s.wide);
  for (int64_t i = 0; i < rows * s.wide; i += W) store(r.dQuery + i, load(r.dQuery + i) * s.scale);
  writeRows(r.dQuery, s.wide, rows, s.d, dq + at, stride);
}

template <class T>
const char *backward(const Tensors<T> &x, const Sizes &s, T *dq, T *dk, T *dv) {
  const int64_t matrix = s.d * s.keys, rows = s.S * s.wide, block = backwardRows * s.wide, scores = backwardRows * s.keys;
  const ThreadScratch scratch = threadScratch(Slot::lanes, (2 * matrix + 3 * rows + 3 * block + 2 * scores) * 4);
  if (!scratch) return outOfMemory;
  parallelFor(s.B * s.K, [&](int64_t task, int thread) {
    const int64_t b = task / s.K, k = task % s.K, stride = s.K * s.d, at = b * s.S * stride + k * s.d;
    float *base = scratch.of<float>(thread);
    const auto take = [&](int64_t floats) {
      float *here = base;
      base += floats;
      return here;
    };
    const Head head{take(matrix), take(matrix), take(rows)};
    const Room room{take(block), take(block), take(block), take(scores), take(scores), take(rows), take(rows)};
    transposePadded(s.S, s.d, x.k + at, stride, head.keysT, s.keys);
    transposePadded(s.S, s.d, x.v + at, stride, head.valuesT, s.keys);
    copyRows(x.k + at, stride, s.S, s.d, s.wide, 1.0f, head.rows);
    std::memset(room.dKeys, 0, static_cast<size_t>(rows) * 4);
    std::memset(room.dValues, 0, static_cast<size_t>(rows) * 4);
    for (int64_t g = 0; g < s.group; g++)
      for (int64_t first = 0; first < s.T; first += backwardRows)
        backwardBlock(x, s, b, k * s.group + g, first, head, room, dq);
    writeRows(room.dKeys, s.wide, s.S, s.d, dk + at, stride);
    writeRows(room.dValues, s.wide, s.S, s.d, dv + at, stride);
  });
  return nullptr;
}

}  // namespace

/** Buffers: q [B·T·H·d], k, v [B·S·K·d], y as q; one type. Numbers: B, T, S, H, K, d. */
const char *causal_attention(const vwn_call *raw) {
  Call call(raw, 4, 6);
  const Sizes s(call);
  if (const char *problem = s.problem()) return problem;
  void *q = call.any(0, {s.B, s.T, s.H, s.d}), *k = call.any(1, {s.B, s.S, s.K, s.d});
  void *v = call.any(2, {s.B, s.S, s.K, s.d}), *y = call.any(3, {s.B, s.T, s.H, s.d});
  call.sameType({0, 1, 2, 3});
  if (call.problem()) return call.problem();
  return withFloats(y, call.type(3), [&](auto *out) {
    using T = std::remove_pointer_t<decltype(out)>;
    return forward<T>({static_cast<const T *>(q), static_cast<const T *>(k), static_cast<const T *>(v), nullptr}, s, out);
  });
}

/** Buffers: q, k, v, dy, dq, dk, dv; one type. Numbers: B, T, S, H, K, d. */
const char *causal_attention_grad(const vwn_call *raw) {
  Call call(raw, 7, 6);
  const Sizes s(call);
  if (const char *problem = s.problem()) return problem;
  const int64_t ofQ = Call::product({s.B, s.T, s.H, s.d}), ofK = Call::product({s.B, s.S, s.K, s.d}), sizes[] = {ofQ, ofK, ofK, ofQ, ofQ, ofK, ofK};
  void *p[7];
  for (int i = 0; i < 7; i++) p[i] = call.any(i, sizes[i]);
  call.sameType({0, 1, 2, 3, 4, 5, 6});
  if (call.problem()) return call.problem();
  return withFloats(p[4], call.type(4), [&](auto *dq) {
    using T = std::remove_pointer_t<decltype(dq)>;
    const auto in = [&](int i) { return static_cast<const T *>(p[i]); };
    return backward<T>({in(0), in(1), in(2), in(3)}, s, dq, static_cast<T *>(p[5]), static_cast<T *>(p[6]));
  });
}

}  // namespace VWN_ISA
}  // namespace vwn
