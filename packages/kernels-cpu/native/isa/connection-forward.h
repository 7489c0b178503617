/** The forward pass of a connection step, a block of tokens at a time, in float32 and in pairs. */
#pragma once
#include "ahead.h"
#include "connection-inputs.h"
#include "connection-pairs.h"

namespace vwn {
namespace VWN_ISA {

template <class T>
struct Forward {
  const T *h, *out;
  T *hNext, *x;
};

/** What each token reads, [m, wide], through the sublayer's norm where there is one, in place. */
VWN_APART void normRead(const Shape &s, const Span &span, const SublayerNorm &norm, float *x) {
  for (int64_t t = 0; norm.weight && t < span.count; t++) {
    float *row = x + t * norm.row.size;
    clearPadding(s, s.m, row);
    normRow(norm.row, row, norm.weight, row);
  }
}

VWN_APART void forwardBlockOfPairs(const Shape &s, const Span &span, const Sets &sets, Halves halves, const Forward<bf16> &io, Ahead ahead,
                         float *base) {
  PairMemory memory(base);
  const PairState state = memory.state(s);
  const PairProducts of{memory.take((s.n + s.m) * s.ld), nullptr};
  float *betaWords = memory.take(wordsOf(s.m) * s.ld);
  bf16 *alphaHalves = memory.halves(s.n * s.ld + s.m * s.ld);
  float *backbone = memory.take(s.block * (s.m + 1) * s.wide), *room = memory.take(s.n * s.wide);
  bf16 *nextRoom = memory.halves(s.block * s.n * s.wide);
  const int64_t atState = span.first * s.n * s.db, atBackbone = span.first * s.m * s.db;
  loadState(s, span, io.h + atState, state);
  ahead();
  if (halves.write) {
    loadBackbone(s, span, io.out + atBackbone, s.db, backbone);
    multiplyPairs(s, span, sets.write, state, of);
    ahead();
    activatePairs(s, span, sets.write, state, of, 0, s.n, {alphaHalves, nullptr});
    activatePairs(s, span, sets.write, state, of, s.n, s.m, {nullptr, betaWords});
    ahead();
    bf16 *next = placeOfHalves(io.hNext + atState, s, nextRoom);
    for (int64_t t = 0; t < span.count; t++)
      halvesOfProducts(s.n, s.wide, Zeros{}, next + t * s.n * s.wide, s.wide, room, gatheringPairs(s, t, alphaHalves, state.between),
                       spreadingPairs(s, t, betaWords, s.m, backbone + t * wordsOf(s.m) * s.wide));
    ahead();
    finishHalves(next, span.slots, s, io.hNext + atState);
    if (halves.read) loadState(s, span, io.hNext + atState, state);
  }
  if (!halves.read) return;
  ahead();
  multiplyPairs(s, span, sets.read, state, of);
  activatePairs(s, span, sets.read, state, of, 0, s.m, {alphaHalves, nullptr});
  ahead();
  for (int64_t t = 0; t < span.count; t++)
    sumOfProducts(s.m, s.wide, Zeros{}, backbone + t * s.m * s.wide, s.wide, gatheringPairs(s, t, alphaHalves, state.between));
  normRead(s, span, sets.norm, backbone);
  storeRows(backbone, span.count * s.m, s, io.x + atBackbone);
}

template <class T>
void forwardBlock(const Shape &s, const Span &span, const Sets &sets, Halves halves, const Forward<T> &io, Ahead ahead,
                  float *base) {
  if constexpr (inPairs<T>)
    if (usesPairs<T>(s)) return forwardBlockOfPairs(s, span, sets, halves, io, ahead, base);
  Memory memory(base);
  const int64_t atState = span.first * s.n * s.db, atBackbone = span.first * s.m * s.db;
  const Evaluated of{memory.take((s.n + s.m) * s.ld), nullptr, nullptr};
  float *backbone = memory.rows(s, s.m), *stateRoom = memory.rows(s, s.n);
  float *next = halves.write ? placeOf(io.hNext + atState, s, memory.rows(s, s.n)) : nullptr;
  State state = memory.state(s, rowsAt(io.h + atState, span.slots, s, stateRoom));
  ahead();
  if (halves.write) {
    const float *out = rowsAt(io.out + atBackbone, span.count * s.m, s, backbone);
    if (sets.write.dynamic) normalize(s, span, state);
    ahead();
    evaluate(s, span, sets.write, state, of);
    ahead();
    for (int64_t t = 0; t < span.count; t++)
      sumOfProducts(s.n, s.wide, Zeros{}, next + t * s.n * s.wide, s.wide, gathering(s, t, of.alpha, state.rows),
                    spreading(s, t, of.alpha + s.n * s.ld, s.m, out + t * s.m * s.wide));
    ahead();
    finishRows(next, span.slots, s, io.hNext + atState);
    state.rows = next;
  }
  if (!halves.read) return;
  float *x = placeOf(io.x + atBackbone, s, backbone);
  if (sets.read.dynamic) normalize(s, span, state);
  ahead();
  evaluate(s, span, sets.read, state, of);
  ahead();
  for (int64_t t = 0; t < span.count; t++)
    sumOfProducts(s.m, s.wide, Zeros{}, x + t * s.m * s.wide, s.wide, gathering(s, t, of.alpha, state.rows));
  normRead(s, span, sets.norm, x);
  finishRows(x, span.count * s.m, s, io.x + atBackbone);
}

inline int64_t forwardRoom(const Shape &s) {
  const int64_t single = Memory::stateRoom(s) + (s.n + s.m) * s.ld + s.block * (s.m + s.n) * s.wide + 8 * W;
  return single > pairRoom(s) ? single : pairRoom(s);
}

/** What the block after `index` reads and writes. */
template <class T>
Ahead aheadOf(const Shape &s, int64_t index, const Forward<T> &io) {
  Ahead ahead;
  if (index + 1 >= s.blocks()) return ahead;
  const Span next(s, index + 1);
  const auto state = [&](const T *data) { return data + next.first * s.n * s.db; };
  const int64_t bytes = next.slots * s.db * static_cast<int64_t>(sizeof(T));
  ahead.add(state(io.h), bytes, false);
  if (io.out) ahead.add(io.out + next.first * s.m * s.db, next.count * s.m * s.db * static_cast<int64_t>(sizeof(T)), false);
  if (io.hNext) ahead.add(state(io.hNext), bytes, true);
  return ahead;
}

}  // namespace VWN_ISA
}  // namespace vwn
