/** The backward pass of a connection step, a block of tokens at a time, in float32 and in pairs. */
#pragma once
#include "ahead.h"
#include "connection-inputs.h"
#include "connection-pairs.h"

namespace vwn {
namespace VWN_ISA {

template <class T>
struct Backward {
  const T *h, *out, *hNext, *dhNext, *dx;
  T *dh, *dout;
};

template <class T>
Ahead aheadOf(const Shape &s, int64_t index, const Backward<T> &io) {
  Ahead ahead;
  if (index + 1 >= s.blocks()) return ahead;
  const Span next(s, index + 1);
  const int64_t atState = next.first * s.n * s.db, atBackbone = next.first * s.m * s.db;
  constexpr int64_t size = sizeof(T);
  for (const T *state : {io.dhNext, io.hNext, io.h})
    if (state) ahead.add(state + atState, next.slots * s.db * size, false);
  for (const T *backbone : {io.dx, io.out})
    if (backbone) ahead.add(backbone + atBackbone, next.count * s.m * s.db * size, false);
  ahead.add(io.dh + atState, next.slots * s.db * size, true);
  if (io.dout) ahead.add(io.dout + atBackbone, next.count * s.m * s.db * size, true);
  return ahead;
}

struct Sums {
  CoefficientSums write, read;
  float *norm; /* [m, wide] */
};

/**
 * Through the sublayer's norm: from the gradient of x, [m, wide] a token, to that of what the token reads. This is read once
 * more, by `reading(t)`, into `read`, and becomes its gradient there.
 */
template <class Reading>
VWN_INLINE void sublayerNormGradient(const Shape &s, const Span &span, const SublayerNorm &norm, const float *dx, float *read,
                                     float *sums, const Reading &reading) {
  for (int64_t t = 0; t < span.count; t++) {
    float *row = read + t * norm.row.size;
    sumOfProducts(s.m, s.wide, Zeros{}, row, s.wide, reading(t));
    clearPadding(s, s.m, row);
    normRowGrad(norm.row, row, norm.weight, dx + t * norm.row.size, row, sums);
  }
}

/** Through the read: from dhNext, [slots, wide], to dNext, the gradient of the state that was read. */
template <class T>
void readGradient(const Shape &s, const Span &span, const Sets &sets, const T *state, const T *dx, const Sums &sums,
                  Ahead &ahead, Memory memory, const float *dhNext, float *dNext) {
  const int64_t atState = span.first * s.n * s.db, atBackbone = span.first * s.m * s.db;
  const Evaluated of = Evaluated::in(memory, s.m * s.ld);
  float *dAlpha = memory.take(s.m * s.ld), *shift = memory.take(s.ld);
  const State next = memory.state(s, rowsAt(state + atState, span.slots, s, memory.rows(s, s.n)));
  const float *backbone = rowsAt(dx + atBackbone, span.count * s.m, s, memory.rows(s, s.m));
  ahead();
  normalize(s, span, next);
  evaluate(s, span, sets.read, next, of);
  ahead();
  if (sets.norm.weight) {
    float *read = memory.rows(s, s.m);
    sublayerNormGradient(s, span, sets.norm, backbone, read, sums.norm,
                         [&](int64_t t) { return gathering(s, t, of.alpha, next.rows); });
    backbone = read;
  }
  alphaGradient(s, span, backbone, s.m, next.rows, next.transposed, dAlpha);
  ahead();
  evaluateGradient(s, span, sets.read, next, of, dAlpha, sums.read, shift);
  for (int64_t t = 0; t < span.count; t++) {
    const int64_t at = t * s.n * s.wide;
    const Rows start{dhNext + at, s.wide};
    const Factors<> applied = spreading(s, t, of.alpha, s.m, backbone + t * s.m * s.wide);
    if (sets.read.dynamic)
      sumOfProducts(s.n, s.wide, Plus<Rows, Scaled<Rows>>{start, {shift + t * s.n, {next.rows + at, s.wide}}}, dNext + at, s.wide,
                    applied, spreading(s, t, dAlpha, s.m, sets.read.weights));
    else sumOfProducts(s.n, s.wide, start, dNext + at, s.wide, applied);
  }
}

/** Through the write: from dNext to dh and dout. */
template <class T>
void writeGradient(const Shape &s, const Span &span, const Sets &sets, const Backward<T> &io, const CoefficientSums &sums,
                   Ahead &ahead, Memory memory, const float *dNext) {
  const int64_t atState = span.first * s.n * s.db, atBackbone = span.first * s.m * s.db, columns = s.n + s.m;
  const Evaluated of = Evaluated::in(memory, columns * s.ld);
  float *dAlpha = memory.take(columns * s.ld), *dBeta = dAlpha + s.n * s.ld, *shift = memory.take(s.ld);
  const State state = memory.state(s, rowsAt(io.h + atState, span.slots, s, memory.rows(s, s.n)));
  const float *backbone = rowsAt(io.out + atBackbone, span.count * s.m, s, memory.rows(s, s.m));
  float *dBackbone = placeOf(io.dout + atBackbone, s, memory.rows(s, s.m));
  float *dState = placeOf(io.dh + atState, s, memory.rows(s, s.n));
  ahead();
  normalize(s, span, state);
  ahead();
  evaluate(s, span, sets.write, state, of);
  ahead();
  for (int64_t t = 0; t < span.count; t++)
    sumOfProducts(s.m, s.wide, Zeros{}, dBackbone + t * s.m * s.wide, s.wide, gathering(s, t, of.alpha + s.n * s.ld, dNext));
  finishRows(dBackbone, span.count * s.m, s, io.dout + atBackbone);
  alphaGradient(s, span, dNext, s.n, state.rows, state.transposed, dAlpha);
  ahead();
  float *turned = s.n >= W ? memory.take(s.db * s.ld + W) : nullptr;
  if (turned) transposePadded(span.slots, s.db, dNext, s.wide, turned, s.ld);
  alphaGradient(s, span, backbone, s.m, dNext, turned, dBeta);
  ahead();
  evaluateGradient(s, span, sets.write, state, of, dAlpha, sums, shift);
  ahead();
  for (int64_t t = 0; t < span.count; t++) {
    const int64_t at = t * s.n * s.wide;
    const Factors<> applied = spreading(s, t, of.alpha, s.n, dNext + at);
    if (sets.write.dynamic)
      sumOfProducts(s.n, s.wide, Scaled<Rows>{shift + t * s.n, {state.rows + at, s.wide}}, dState + at, s.wide, applied,
                    spreading(s, t, dAlpha, columns, sets.write.weights));
    else sumOfProducts(s.n, s.wide, Zeros{}, dState + at, s.wide, applied);
  }
  finishRows(dState, span.slots, s, io.dh + atState);
}

/** As sublayerNormGradient, in pairs: the gradient of what was read as rows of `wide`. */
VWN_APART const bf16 *sublayerNormGradientOfPairs(const Shape &s, const Span &span, const SublayerNorm &norm,
                                                  const PairState &state, const bf16 *alpha, const bf16 *dx, float *sums,
                                                  PairMemory &memory) {
  const int64_t rows = span.count * s.m;
  bf16 *dRead = memory.halves(s.block * s.m * s.wide);
  float *upstream = memory.rows(s, s.m), *read = memory.rows(s, s.m);
  loadRows(dx, rows, s, upstream);
  sublayerNormGradient(s, span, norm, upstream, read, sums,
                       [&](int64_t t) { return gatheringPairs(s, t, alpha, state.between); });
  narrowRows(read, rows, s.wide, s.wide, dRead);
  return dRead;
}

/** As readGradient, in pairs. */
VWN_APART void readGradientOfPairs(const Shape &s, const Span &span, const Sets &sets, const bf16 *state, const bf16 *dx,
                                   const Sums &sums, Ahead &ahead, PairMemory memory, const bf16 *dhNext, bf16 *dNext) {
  const int64_t atState = span.first * s.n * s.db;
  const PairState next = memory.state(s);
  const PairProducts of{memory.take(s.m * s.ld), memory.take(s.m * s.ld)};
  const PairForms alpha{sets.norm.weight ? memory.halves(s.m * s.ld) : nullptr, memory.take(wordsOf(s.m) * s.ld)};
  float *dAlpha = memory.take(s.m * s.ld), *shift = memory.take(s.ld);
  float *backbone = memory.take(s.block * (s.m + 1) * s.wide), *room = memory.take(s.n * s.wide);
  const bf16 *dRead = dx + span.first * s.m * s.db;
  int64_t stride = s.db;
  loadState(s, span, state + atState, next);
  ahead();
  multiplyPairs(s, span, sets.read, next, of);
  activatePairs(s, span, sets.read, next, of, 0, s.m, alpha);
  ahead();
  if (sets.norm.weight) {
    dRead = sublayerNormGradientOfPairs(s, span, sets.norm, next, alpha.halves, dRead, sums.norm, memory);
    stride = s.wide;
  }
  loadBackbone(s, span, dRead, stride, backbone);
  alphaGradientPairs(s, span, dRead, stride, s.m, next.transposed, dAlpha);
  ahead();
  const float *through = evaluateGradientPairs(s, span, sets.read, next, of, dAlpha, sums.read, memory, shift);
  for (int64_t t = 0; t < span.count; t++) {
    const int64_t at = t * s.n * s.wide;
    const RowsOf<bf16> start{dhNext + at, s.wide};
    const Factors<pair> applied = spreadingPairs(s, t, alpha.words, s.m, backbone + t * wordsOf(s.m) * s.wide);
    if (through)
      halvesOfProducts(s.n, s.wide, Plus<RowsOf<bf16>, Scaled<RowsBetween>>{start, {shift + t * s.n, betweenOf(s, t, next)}},
                       dNext + at, s.wide, room, applied, spreadingPairs(s, t, through, s.m, sets.read.words));
    else halvesOfProducts(s.n, s.wide, start, dNext + at, s.wide, room, applied);
  }
}

/** As writeGradient, in pairs. */
VWN_APART void writeGradientOfPairs(const Shape &s, const Span &span, const Sets &sets, const Backward<bf16> &io, const CoefficientSums &sums,
                                    Ahead &ahead, PairMemory memory, const bf16 *dNext) {
  const int64_t atState = span.first * s.n * s.db, atBackbone = span.first * s.m * s.db, columns = s.n + s.m;
  const PairState state = memory.state(s);
  const PairProducts of{memory.take(columns * s.ld), memory.take(columns * s.ld)};
  float *dAlpha = memory.take(columns * s.ld), *dBeta = dAlpha + s.n * s.ld, *shift = memory.take(s.ld);
  float *words = memory.take(wordsOf(s.n) * s.ld), *dBackbone = memory.take(s.block * s.m * s.wide);
  float *room = memory.take(s.n * s.wide), *dBetween = memory.take(s.block * s.n / 2 * s.wide);
  float *dTransposed = memory.take(s.db / 2 * s.ld + W);
  bf16 *betaHalves = memory.halves(s.m * s.ld), *stateRoom = memory.halves(s.block * s.n * s.wide);
  bf16 *dState = placeOfHalves(io.dh + atState, s, stateRoom);
  loadState(s, span, io.h + atState, state);
  ahead();
  multiplyPairs(s, span, sets.write, state, of);
  ahead();
  activatePairs(s, span, sets.write, state, of, 0, s.n, {nullptr, words});
  activatePairs(s, span, sets.write, state, of, s.n, s.m, {betaHalves, nullptr});
  ahead();
  interleaveRows(dNext, s.wide, span.slots, s.wide, dBetween, s.wide);
  transposePadded(span.slots, s.db / 2, asPairs(dNext), s.wide / 2, dTransposed, s.ld);
  ahead();
  for (int64_t t = 0; t < span.count; t++)
    sumOfProducts(s.m, s.wide, Zeros{}, dBackbone + t * s.m * s.wide, s.wide, gatheringPairs(s, t, betaHalves, dBetween));
  storeRows(dBackbone, span.count * s.m, s, io.dout + atBackbone);
  alphaGradientPairs(s, span, dNext, s.wide, s.n, state.transposed, dAlpha);
  ahead();
  alphaGradientPairs(s, span, io.out + atBackbone, s.db, s.m, dTransposed, dBeta);
  ahead();
  const float *through = evaluateGradientPairs(s, span, sets.write, state, of, dAlpha, sums, memory, shift);
  ahead();
  for (int64_t t = 0; t < span.count; t++) {
    bf16 *rows = dState + t * s.n * s.wide;
    const Factors<pair> applied = spreadingPairs(s, t, words, s.n, dBetween + t * s.n / 2 * s.wide);
    if (through)
      halvesOfProducts(s.n, s.wide, Scaled<RowsBetween>{shift + t * s.n, betweenOf(s, t, state)}, rows, s.wide, room, applied,
                       spreadingPairs(s, t, through, columns, sets.write.words));
    else halvesOfProducts(s.n, s.wide, Zeros{}, rows, s.wide, room, applied);
  }
  finishHalves(dState, span.slots, s, io.dh + atState);
}

VWN_APART void backwardBlockOfPairs(const Shape &s, const Span &span, const Sets &sets, Halves halves, const Backward<bf16> &io,
                                    const Sums &sums, Ahead ahead, float *base) {
  PairMemory memory(Memory{base});
  const int64_t atState = span.first * s.n * s.db, size = s.block * s.n * s.wide;
  bf16 *upRoom = memory.halves(size), *nextRoom = memory.halves(size);
  const bf16 *dhNext = upRoom;
  if (io.dhNext) dhNext = halvesAt(io.dhNext + atState, span.slots, s, upRoom);
  else std::memset(upRoom, 0, static_cast<size_t>(size) * 2);
  if (!halves.read) return writeGradientOfPairs(s, span, sets, io, sums.write, ahead, memory, dhNext);
  bf16 *dNext = halves.write ? nextRoom : placeOfHalves(io.dh + atState, s, nextRoom);
  readGradientOfPairs(s, span, sets, halves.write ? io.hNext : io.h, io.dx, sums, ahead, memory, dhNext, dNext);
  if (halves.write) writeGradientOfPairs(s, span, sets, io, sums.write, ahead, memory, dNext);
  else finishHalves(dNext, span.slots, s, io.dh + atState);
}

template <class T>
void backwardBlock(const Shape &s, const Span &span, const Sets &sets, Halves halves, const Backward<T> &io, const Sums &sums,
                   Ahead ahead, float *base) {
  if constexpr (inPairs<T>)
    if (usesPairs<T>(s)) return backwardBlockOfPairs(s, span, sets, halves, io, sums, ahead, base);
  Memory memory(base);
  float *dNext = memory.take(s.block * s.n * s.wide);
  const int64_t atState = span.first * s.n * s.db;
  const T *read = halves.write ? io.hNext : io.h;
  const float *dhNext = dNext;
  if (io.dhNext) dhNext = rowsAt(io.dhNext + atState, span.slots, s, dNext);
  else std::memset(dNext, 0, static_cast<size_t>(s.block * s.n * s.wide) * 4);
  if (halves.read) readGradient(s, span, sets, read, io.dx, sums, ahead, memory, dhNext, dNext);
  if (halves.write) writeGradient(s, span, sets, io, sums.write, ahead, memory, halves.read ? dNext : dhNext);
  else storeRows(dNext, span.slots, s, io.dh + atState);
}

inline int64_t backwardRoom(const Shape &s) {
  const int64_t single = Memory::stateRoom(s) + (4 * (s.n + s.m) + 1) * s.ld + s.block * (2 * s.m + 2 * s.n) * s.wide + s.db * s.ld + 32 * W;
  return single > pairRoom(s) ? single : pairRoom(s);
}

}  // namespace VWN_ISA
}  // namespace vwn
