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
  return ahead;
}

struct Sums {
  CoefficientSums write, read;
};

/** Through the read: adds to dNext, the gradient of the state that was read. */
template <class T>
void readGradient(const Shape &s, const Span &span, const Sets &sets, const T *state, const T *dx, const CoefficientSums &sums,
                  Ahead &ahead, Memory memory, float *dNext) {
  const int64_t atState = span.first * s.n * s.db, atBackbone = span.first * s.m * s.db;
  float *activation = memory.take(s.m * s.ld), *alpha = memory.take(s.m * s.ld), *room = memory.take(s.db * s.ld);
  const State next = memory.state(s, rowsAt(state + atState, span.slots, s, memory.rows(s, s.n)));
  const float *backbone = rowsAt(dx + atBackbone, span.count * s.m, s, memory.rows(s, s.m));
  ahead();
  normalize(s, span, next);
  evaluate(s, span, sets.read, next, activation, alpha);
  ahead();
  spread<Into::sum>(s, span, alpha, s.m, backbone, dNext);
  alphaGradient(s, span, backbone, s.m, next.rows, next.transposed, alpha);
  ahead();
  evaluateGradient(s, span, sets.read, next, activation, alpha, sums, room, dNext);
}

/** Through the write: from dNext to dh and dout. */
template <class T>
void writeGradient(const Shape &s, const Span &span, const Sets &sets, const Backward<T> &io, const CoefficientSums &sums,
                   Ahead &ahead, Memory memory, const float *dNext) {
  const int64_t atState = span.first * s.n * s.db, atBackbone = span.first * s.m * s.db;
  float *activation = memory.take((s.n + s.m) * s.ld), *alpha = memory.take((s.n + s.m) * s.ld), *beta = alpha + s.n * s.ld;
  const State state = memory.state(s, rowsAt(io.h + atState, span.slots, s, memory.rows(s, s.n)));
  const float *backbone = rowsAt(io.out + atBackbone, span.count * s.m, s, memory.rows(s, s.m));
  float *dBackbone = placeOf(io.dout + atBackbone, s, memory.rows(s, s.m));
  float *dState = placeOf(io.dh + atState, s, memory.rows(s, s.n)), *room = memory.take(s.db * s.ld + W);
  ahead();
  normalize(s, span, state);
  ahead();
  evaluate(s, span, sets.write, state, activation, alpha);
  ahead();
  spread<Into::fresh>(s, span, alpha, s.n, dNext, dState);
  ahead();
  gather<Into::fresh>(s, span, beta, s.m, dNext, dBackbone);
  finishRows(dBackbone, span.count * s.m, s, io.dout + atBackbone);
  alphaGradient(s, span, dNext, s.n, state.rows, state.transposed, alpha);
  ahead();
  if (s.n >= W) transposePadded(span.slots, s.db, dNext, s.wide, room, s.ld);
  alphaGradient(s, span, backbone, s.m, dNext, room, beta);
  ahead();
  evaluateGradient(s, span, sets.write, state, activation, alpha, sums, room, dState);
  finishRows(dState, span.slots, s, io.dh + atState);
}

/** As readGradient and writeGradient, in pairs. */
VWN_APART void readGradientOfPairs(const Shape &s, const Span &span, const Sets &sets, const bf16 *state, const bf16 *dx,
                         const CoefficientSums &sums, Ahead &ahead, PairMemory memory, float *dNext) {
  const int64_t atState = span.first * s.n * s.db, atBackbone = span.first * s.m * s.db;
  const PairState next = memory.state(s);
  float *activation = memory.take(s.m * s.ld), *alpha = memory.take(s.m * s.ld), *words = memory.take(wordsOf(s.m) * s.ld);
  float *backbone = memory.take(s.block * (s.m + 1) * s.wide);
  loadState(s, span, state + atState, next);
  loadBackbone(s, span, dx + atBackbone, backbone);
  ahead();
  evaluatePairs(s, span, sets.read, next, activation, alpha);
  interleaveRows(alpha, s.ld, s.m, span.lanes, words, s.ld);
  ahead();
  spreadPairs<Into::sum>(s, span, words, s.m, backbone, dNext);
  alphaGradientPairs(s, span, dx + atBackbone, s.db, s.m, next.transposed, alpha);
  ahead();
  evaluateGradientPairs(s, span, sets.read, next, activation, alpha, sums, memory, dNext);
}

VWN_APART void writeGradientOfPairs(const Shape &s, const Span &span, const Sets &sets, const Backward<bf16> &io, const CoefficientSums &sums,
                          Ahead &ahead, PairMemory memory, const float *dNext) {
  const int64_t atState = span.first * s.n * s.db, atBackbone = span.first * s.m * s.db, columns = s.n + s.m;
  const PairState state = memory.state(s);
  float *activation = memory.take(columns * s.ld), *alpha = memory.take(columns * s.ld), *beta = alpha + s.n * s.ld;
  float *words = memory.take(wordsOf(s.n) * s.ld), *dBackbone = memory.take(s.block * s.m * s.wide);
  float *dState = memory.take(s.block * s.n * s.wide), *dBetween = memory.take(s.block * s.n / 2 * s.wide);
  float *dTransposed = memory.take(s.db / 2 * s.ld + W);
  bf16 *betaHalves = memory.halves(s.m * s.ld), *dHalves = memory.halves(s.block * s.n * s.wide);
  loadState(s, span, io.h + atState, state);
  ahead();
  evaluatePairs(s, span, sets.write, state, activation, alpha);
  interleaveRows(alpha, s.ld, s.n, span.lanes, words, s.ld);
  narrowRows(beta, s.m, span.lanes, s.ld, betaHalves);
  ahead();
  interleaveRows(dNext, s.wide, span.slots, s.wide, dBetween, s.wide);
  narrowRows(dNext, span.slots, s.wide, s.wide, dHalves);
  transposePadded(span.slots, s.db / 2, asPairs(dHalves), s.wide / 2, dTransposed, s.ld);
  ahead();
  spreadPairs<Into::fresh>(s, span, words, s.n, dBetween, dState);
  ahead();
  gatherPairs(s, span, betaHalves, s.m, dBetween, dBackbone);
  storeRows(dBackbone, span.count * s.m, s, io.dout + atBackbone);
  alphaGradientPairs(s, span, dHalves, s.wide, s.n, state.transposed, alpha);
  ahead();
  alphaGradientPairs(s, span, io.out + atBackbone, s.db, s.m, dTransposed, beta);
  ahead();
  evaluateGradientPairs(s, span, sets.write, state, activation, alpha, sums, memory, dState);
  storeRows(dState, span.slots, s, io.dh + atState);
}

template <class T>
void backwardBlock(const Shape &s, const Span &span, const Sets &sets, Halves halves, const Backward<T> &io, const Sums &sums,
                   Ahead ahead, float *base) {
  Memory memory(base);
  float *dNext = memory.take(s.block * s.n * s.wide);
  const int64_t atState = span.first * s.n * s.db;
  if (io.dhNext) loadRows(io.dhNext + atState, span.slots, s, dNext);
  else std::memset(dNext, 0, static_cast<size_t>(s.block * s.n * s.wide) * 4);
  const T *read = halves.write ? io.hNext : io.h;
  if constexpr (inPairs<T>)
    if (usesPairs<T>(s)) {
      const PairMemory rest(memory);
      if (halves.read) readGradientOfPairs(s, span, sets, read, io.dx, sums.read, ahead, rest, dNext);
      if (halves.write) return writeGradientOfPairs(s, span, sets, io, sums.write, ahead, rest, dNext);
      return storeRows(dNext, span.slots, s, io.dh + atState);
    }
  if (halves.read) readGradient(s, span, sets, read, io.dx, sums.read, ahead, memory, dNext);
  if (halves.write) writeGradient(s, span, sets, io, sums.write, ahead, memory, dNext);
  else storeRows(dNext, span.slots, s, io.dh + atState);
}

inline int64_t backwardRoom(const Shape &s) {
  const int64_t single = Memory::stateRoom(s) + 2 * (s.n + s.m) * s.ld + s.block * (2 * s.m + 2 * s.n) * s.wide + s.db * s.ld + 16 * W;
  return single > pairRoom(s) ? single : pairRoom(s);
}

}  // namespace VWN_ISA
}  // namespace vwn
