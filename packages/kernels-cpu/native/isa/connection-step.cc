/**
 * From one sublayer to the next in one pass: depth connection of the previous connection, then norm, coefficients and
 * read of the next. Reads h and out, writes the next state and the next sublayer's input; the carry is never stored and
 * coefficients are rebuilt in the backward pass. Either half may be absent: read only at the first sublayer (out and
 * the previous connection absent), write only at the last.
 */
#include "ahead.h"
#include "connection.h"
#include "kernels.h"

namespace vwn {
namespace VWN_ISA {
namespace {

/** A connection's parameters as they come, each or nothing. */
struct Parameters {
  const float *staticAlpha, *staticBeta, *normWeight, *alphaFn, *betaFn, *alphaScale, *betaScale;
};

struct Halves {
  bool write, read, dynamic;
};

std::vector<Columns> writeColumns(const Shape &s, const Parameters &p) {
  return {{p.staticAlpha, p.alphaScale, p.alphaFn, s.m + s.n, s.m, s.n}, {p.staticBeta, p.betaScale, p.betaFn, s.m, 0, s.m}};
}
std::vector<Columns> readColumns(const Shape &s, const Parameters &p) {
  return {{p.staticAlpha, p.alphaScale, p.alphaFn, s.m + s.n, 0, s.m}};
}

/** Buffers come in this order: writing's parameters (2, or 7 when dynamic), then reading's (1, or 4). */
struct Inputs {
  Parameters writing{}, reading{};
  int next;

  Inputs(Call &call, int first, const Shape &s, Halves halves) : next(first) {
    const int64_t alpha = s.n * (s.m + s.n), beta = s.n * s.m, fn = s.db * (s.m + s.n);
    if (halves.write) {
      writing.staticAlpha = call.floats(next++, alpha);
      writing.staticBeta = call.floats(next++, beta);
      if (halves.dynamic) {
        writing.normWeight = call.floats(next++, s.db);
        writing.alphaFn = call.floats(next++, fn);
        writing.betaFn = call.floats(next++, {s.db, s.m});
        writing.alphaScale = call.floats(next++, alpha);
        writing.betaScale = call.floats(next++, beta);
      }
    }
    if (halves.read) {
      reading.staticAlpha = call.floats(next++, alpha);
      if (halves.dynamic) {
        reading.normWeight = call.floats(next++, s.db);
        reading.alphaFn = call.floats(next++, fn);
        reading.alphaScale = call.floats(next++, alpha);
      }
    }
  }
};

/** Coefficients of both halves, for all threads. */
struct Sets {
  CoefficientSet write, read;

  bool prepare(const Shape &s, const Inputs &in, Halves halves) {
    const int64_t first = CoefficientSet::room(s, s.n + s.m), second = CoefficientSet::room(s, s.m);
    float *memory = static_cast<float *>(sharedScratch(Slot::packedB, (first + second + W) * 4));
    if (!memory) return false;
    if (halves.write) write.prepare(s, in.writing.normWeight, writeColumns(s, in.writing), memory);
    if (halves.read) read.prepare(s, in.reading.normWeight, readColumns(s, in.reading), memory + wholeVectors(first));
    return true;
  }
};

template <class T>
struct Forward {
  const T *h, *out;
  T *hNext, *x;
};

template <class T>
void forwardBlock(const Shape &s, const Span &span, const Sets &sets, Halves halves, const Forward<T> &io, Ahead ahead,
                  float *base) {
  Memory memory(base);
  const State state = memory.state(s);
  float *alpha = memory.take((s.n + s.m) * s.ld), *backbone = memory.take(s.block * s.m * s.wide);
  float *next = memory.take(s.block * s.n * s.wide);
  const int64_t atState = span.first * s.n * s.db, atBackbone = span.first * s.m * s.db;
  loadRows(io.h + atState, span.slots, s, state.rows);
  ahead();
  if (halves.write) {
    loadRows(io.out + atBackbone, span.count * s.m, s, backbone);
    if (sets.write.dynamic) normalize(s, span, state);
    ahead();
    evaluate(s, span, sets.write, state, nullptr, alpha);
    ahead();
    gather<Into::fresh>(s, span, alpha, s.n, state.rows, next);
    ahead();
    spread<Into::sum>(s, span, alpha + s.n * s.ld, s.m, backbone, next);
    storeRows(next, span.slots, s, io.hNext + atState);
  }
  if (!halves.read) return;
  const State after = {halves.write ? next : state.rows, state.transposed, state.reciprocal};
  if (sets.read.dynamic) normalize(s, span, after);
  ahead();
  evaluate(s, span, sets.read, after, nullptr, alpha);
  ahead();
  gather<Into::fresh>(s, span, alpha, s.m, after.rows, backbone);
  storeRows(backbone, span.count * s.m, s, io.x + atBackbone);
}

int64_t forwardRoom(const Shape &s) {
  return Memory::stateRoom(s) + (s.n + s.m) * s.ld + s.block * (s.m + s.n) * s.wide + 8 * W;
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
  const State next = memory.state(s);
  float *activation = memory.take(s.m * s.ld), *alpha = memory.take(s.m * s.ld), *backbone = memory.take(s.block * s.m * s.wide);
  float *room = memory.take(s.db * s.ld);
  loadRows(state + atState, span.slots, s, next.rows);
  loadRows(dx + atBackbone, span.count * s.m, s, backbone);
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
  const State state = memory.state(s);
  float *activation = memory.take((s.n + s.m) * s.ld), *alpha = memory.take((s.n + s.m) * s.ld);
  float *backbone = memory.take(s.block * s.m * s.wide), *dBackbone = memory.take(s.block * s.m * s.wide);
  float *dState = memory.take(s.block * s.n * s.wide), *room = memory.take(s.db * s.ld + W), *beta = alpha + s.n * s.ld;
  loadRows(io.h + atState, span.slots, s, state.rows);
  loadRows(io.out + atBackbone, span.count * s.m, s, backbone);
  ahead();
  normalize(s, span, state);
  ahead();
  evaluate(s, span, sets.write, state, activation, alpha);
  ahead();
  spread<Into::fresh>(s, span, alpha, s.n, dNext, dState);
  ahead();
  gather<Into::fresh>(s, span, beta, s.m, dNext, dBackbone);
  storeRows(dBackbone, span.count * s.m, s, io.dout + atBackbone);
  alphaGradient(s, span, dNext, s.n, state.rows, state.transposed, alpha);
  ahead();
  if (s.n >= W) transposePadded(span.slots, s.db, dNext, s.wide, room, s.ld);
  alphaGradient(s, span, backbone, s.m, dNext, room, beta);
  ahead();
  evaluateGradient(s, span, sets.write, state, activation, alpha, sums, room, dState);
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
  if (halves.read) readGradient(s, span, sets, halves.write ? io.hNext : io.h, io.dx, sums.read, ahead, memory, dNext);
  if (halves.write) writeGradient(s, span, sets, io, sums.write, ahead, memory, dNext);
  else storeRows(dNext, span.slots, s, io.dh + atState);
}

int64_t backwardRoom(const Shape &s) {
  return Memory::stateRoom(s) + 2 * (s.n + s.m) * s.ld + s.block * (2 * s.m + 2 * s.n) * s.wide + s.db * s.ld + 16 * W;
}

Halves halvesOf(const Call &call) { return {call.integer(5) != 0, call.integer(6) != 0, call.integer(7) != 0}; }
Shape shapeOf(Call &call) {
  return Shape(call.dimension(0), call.dimension(1), call.dimension(2), call.dimension(3), call.real(4));
}

/** Gradients of parameters, in the buffers' order from `first`; columns that no half used stay 0. */
void writeParameterGradients(Call &call, int first, const Shape &s, Halves halves, const Sets &sets, const Inputs &in,
                             const Sums &sums, int64_t parts, int64_t stride) {
  const int64_t alpha = s.n * (s.m + s.n), beta = s.n * s.m, fn = s.db * (s.m + s.n);
  const auto zeroed = [&](int64_t size) {
    float *data = call.floats(first++, size);
    if (data) std::memset(data, 0, static_cast<size_t>(size) * 4);
    return data;
  };
  if (halves.write) {
    float *staticAlpha = zeroed(alpha), *staticBeta = zeroed(beta), *norm = nullptr, *alphaFn = nullptr, *betaFn = nullptr;
    float *alphaScale = nullptr, *betaScale = nullptr;
    if (halves.dynamic) {
      norm = zeroed(s.db), alphaFn = zeroed(fn), betaFn = zeroed(s.db * s.m);
      alphaScale = zeroed(alpha), betaScale = zeroed(beta);
    }
    if (call.problem()) return;
    writeGradients(s, sets.write, in.writing.normWeight, writeColumns(s, in.writing), sums.write, parts, stride,
                   {{staticAlpha, alphaScale, alphaFn, s.m + s.n, s.m, s.n}, {staticBeta, betaScale, betaFn, s.m, 0, s.m}}, norm);
  }
  if (halves.read) {
    float *staticAlpha = zeroed(alpha), *norm = nullptr, *alphaFn = nullptr, *alphaScale = nullptr;
    if (halves.dynamic) norm = zeroed(s.db), alphaFn = zeroed(fn), alphaScale = zeroed(alpha);
    if (call.problem()) return;
    writeGradients(s, sets.read, in.reading.normWeight, readColumns(s, in.reading), sums.read, parts, stride,
                   {{staticAlpha, alphaScale, alphaFn, s.m + s.n, 0, s.m}}, norm);
  }
}

}  // namespace

/**
 * Numbers: m, n, db, tokens, eps, write, read, dynamic.
 * Buffers: h, [write: out], parameters of writing and reading as in Inputs, [write: hNext], [read: x].
 */
const char *connection_step(const vwn_call *raw) {
  Call call(raw, 3, 8);
  const Shape s = shapeOf(call);
  const Halves halves = halvesOf(call);
  if (const char *problem = s.problem()) return problem;
  void *h = call.any(0, s.stateSize()), *out = halves.write ? call.any(1, s.backboneSize()) : nullptr;
  Inputs in(call, halves.write ? 2 : 1, s, halves);
  void *hNext = halves.write ? call.any(in.next++, s.stateSize()) : nullptr;
  void *x = halves.read ? call.any(in.next, s.backboneSize()) : nullptr;
  if (halves.write) call.sameType({0, 1, in.next - 1});
  if (halves.read) call.sameType({0, in.next});
  if (call.problem()) return call.problem();
  Sets sets;
  const ThreadScratch scratch = threadScratch(Slot::lanes, forwardRoom(s) * 4);
  if (!scratch || !sets.prepare(s, in, halves)) return outOfMemory;
  return withFloats(h, call.type(0), [&](auto *state) {
    using T = std::remove_pointer_t<decltype(state)>;
    const Forward<T> io{state, static_cast<const T *>(out), static_cast<T *>(hNext), static_cast<T *>(x)};
    // A few blocks a task: a block of 64 slots takes microseconds.
    constexpr int64_t blocksOfTask = 16;
    parallelFor((s.blocks() + blocksOfTask - 1) / blocksOfTask, [&](int64_t task, int thread) {
      const int64_t end = (task + 1) * blocksOfTask < s.blocks() ? (task + 1) * blocksOfTask : s.blocks();
      for (int64_t index = task * blocksOfTask; index < end; index++)
        forwardBlock(s, Span(s, index), sets, halves, io, aheadOf(s, index, io), scratch.of<float>(thread));
    });
    return static_cast<const char *>(nullptr);
  });
}

/**
 * Numbers: m, n, db, tokens, eps, write, read, dynamic, hasDhNext.
 * Buffers: h, [write: out], parameters, [write and read: hNext], [hasDhNext: dhNext], [read: dx], then the results dh,
 * [write: dout], and gradients in the order of the parameters.
 */
const char *connection_step_grad(const vwn_call *raw) {
  Call call(raw, 4, 9);
  const Shape s = shapeOf(call);
  const Halves halves = halvesOf(call);
  if (const char *problem = s.problem()) return problem;
  void *h = call.any(0, s.stateSize()), *out = halves.write ? call.any(1, s.backboneSize()) : nullptr;
  Inputs in(call, halves.write ? 2 : 1, s, halves);
  int next = in.next;
  void *hNext = halves.write && halves.read ? call.any(next++, s.stateSize()) : nullptr;
  void *dhNext = call.integer(8) ? call.any(next++, s.stateSize()) : nullptr;
  void *dx = halves.read ? call.any(next++, s.backboneSize()) : nullptr;
  const int lastUpstream = next - 1;
  for (int i = in.next; i <= lastUpstream + (halves.write ? 2 : 1); i++) call.sameType({0, i});
  if (halves.write) call.sameType({0, 1});
  void *dh = call.any(next++, s.stateSize()), *dout = halves.write ? call.any(next++, s.backboneSize()) : nullptr;
  if (call.problem()) return call.problem();
  const int64_t parts = threadCount(), ofWrite = wholeVectors(CoefficientSums::room(s, s.n + s.m));
  const int64_t stride = ofWrite + wholeVectors(CoefficientSums::room(s, s.m));
  Sets sets;
  const ThreadScratch scratch = threadScratch(Slot::lanes, backwardRoom(s) * 4);
  float *partial = static_cast<float *>(sharedScratch(Slot::partial, parts * stride * 4));
  if (!scratch || !partial || !sets.prepare(s, in, halves)) return outOfMemory;
  const auto sumsOf = [&](int64_t part) {
    float *memory = partial + part * stride;
    return Sums{CoefficientSums::in(memory, s, s.n + s.m), CoefficientSums::in(memory + ofWrite, s, s.m)};
  };
  const char *problem = withFloats(h, call.type(0), [&](auto *state) {
    using T = std::remove_pointer_t<decltype(state)>;
    const Backward<T> io{state, static_cast<const T *>(out), static_cast<const T *>(hNext), static_cast<const T *>(dhNext),
                         static_cast<const T *>(dx), static_cast<T *>(dh), static_cast<T *>(dout)};
    parallelFor(parts, [&](int64_t index, int thread) {
      const Range range = part(s.blocks(), parts, index);
      const Sums sums = sumsOf(index);
      for (int64_t block = range.begin; block < range.end; block++)
        backwardBlock(s, Span(s, block), sets, halves, io, sums, aheadOf(s, block, io), scratch.of<float>(thread));
    });
    return static_cast<const char *>(nullptr);
  });
  if (problem) return problem;
  // Pointers only: sumsOf would clear what the parts hold.
  const Sums first{{partial, partial + (s.n + s.m) * s.ld, partial + 2 * (s.n + s.m) * s.ld},
                   {partial + ofWrite, partial + ofWrite + s.m * s.ld, partial + ofWrite + 2 * s.m * s.ld}};
  writeParameterGradients(call, next, s, halves, sets, in, first, parts, stride);
  return call.problem();
}

}  // namespace VWN_ISA
}  // namespace vwn
