/**
 * From one sublayer to the next in one pass: depth connection of the previous connection, then norm, coefficients and
 * read of the next, and the norm of its sublayer where the step is `normed`. Reads h and out, writes the next state and the
 * next sublayer's input; the carry is never stored, nor what goes into the sublayer's norm, and coefficients are rebuilt in
 * the backward pass. Either half may be absent: read only at the first sublayer (out and the previous connection absent),
 * write only at the last. Few slots have passes of their own (connection-few.h).
 */
#include "connection-few-backward.h"
#include "connection-few-forward.h"
#include "kernels.h"

namespace vwn {
namespace VWN_ISA {
namespace {

Halves halvesOf(const Call &call) {
  const bool read = call.integer(6) != 0;
  return {call.integer(5) != 0, read, call.integer(7) != 0, read && call.integer(8) != 0};
}
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
  if (float *norm = halves.normed ? call.floats(first, {s.m, s.db}) : nullptr)
    for (int64_t i = 0; i < s.m * s.db; i++) norm[i] = totalOf(sums.norm, i / s.db * s.wide + i % s.db, parts, stride);
}

/** Floats of scratch that a block takes, `general` unless its shape has passes of its own. */
int64_t roomOf(const Shape &s, Halves halves, int64_t general) {
  int64_t room = general;
  withFew(s, halves, [&]<int M, int N>() { room = fewRoom<M, N>(s); });
  return room;
}

}  // namespace

/**
 * Numbers: m, n, db, tokens, eps, write, read, dynamic, normed, normEps.
 * Buffers: h, [write: out], parameters as in Inputs, [write: hNext], [read: x].
 */
const char *connection_step(const vwn_call *raw) {
  Call call(raw, 3, 10);
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
  const ThreadScratch scratch = threadScratch(Slot::lanes, roomOf(s, halves, forwardRoom(s)) * 4);
  if (!scratch || !sets.prepare(s, in, halves, call.real(9))) return outOfMemory;
  return withFloats(h, call.type(0), [&](auto *state) {
    using T = std::remove_pointer_t<decltype(state)>;
    const Forward<T> io{state, static_cast<const T *>(out), static_cast<T *>(hNext), static_cast<T *>(x)};
    // A few blocks a task: a block of 64 slots takes microseconds.
    constexpr int64_t blocksOfTask = 16;
    parallelFor((s.blocks() + blocksOfTask - 1) / blocksOfTask, [&](int64_t task, int thread) {
      const AmxScope amx;
      const int64_t end = (task + 1) * blocksOfTask < s.blocks() ? (task + 1) * blocksOfTask : s.blocks();
      for (int64_t index = task * blocksOfTask; index < end; index++) {
        const Span span(s, index);
        const Ahead ahead = aheadOf(s, index, io);
        float *room = scratch.of<float>(thread);
        if (!withFew(s, halves, [&]<int M, int N>() { forwardBlockOfFew<M, N>(s, span, sets, halves, io, ahead, room); }))
          forwardBlock(s, span, sets, halves, io, ahead, room);
      }
    });
    return static_cast<const char *>(nullptr);
  });
}

/**
 * Numbers: m, n, db, tokens, eps, write, read, dynamic, normed, normEps, hasDhNext.
 * Buffers: h, [write: out], parameters, [write and read: hNext], [hasDhNext: dhNext], [read: dx], then the results dh,
 * [write: dout], and gradients in the order of the parameters.
 */
const char *connection_step_grad(const vwn_call *raw) {
  Call call(raw, 4, 11);
  const Shape s = shapeOf(call);
  const Halves halves = halvesOf(call);
  if (const char *problem = s.problem()) return problem;
  void *h = call.any(0, s.stateSize()), *out = halves.write ? call.any(1, s.backboneSize()) : nullptr;
  Inputs in(call, halves.write ? 2 : 1, s, halves);
  int next = in.next;
  void *hNext = halves.write && halves.read ? call.any(next++, s.stateSize()) : nullptr;
  void *dhNext = call.integer(10) ? call.any(next++, s.stateSize()) : nullptr;
  void *dx = halves.read ? call.any(next++, s.backboneSize()) : nullptr;
  const int lastUpstream = next - 1;
  for (int i = in.next; i <= lastUpstream + (halves.write ? 2 : 1); i++) call.sameType({0, i});
  if (halves.write) call.sameType({0, 1});
  void *dh = call.any(next++, s.stateSize()), *dout = halves.write ? call.any(next++, s.backboneSize()) : nullptr;
  if (call.problem()) return call.problem();
  const int64_t parts = threadCount(), ofWrite = wholeVectors(CoefficientSums::room(s, s.n + s.m));
  const int64_t ofCoefficients = ofWrite + wholeVectors(CoefficientSums::room(s, s.m));
  const int64_t ofNorm = halves.normed ? SublayerNorm::room(s) : 0, stride = ofCoefficients + ofNorm;
  Sets sets;
  const ThreadScratch scratch = threadScratch(Slot::lanes, roomOf(s, halves, backwardRoom(s)) * 4);
  float *partial = static_cast<float *>(sharedScratch(Slot::partial, parts * stride * 4));
  if (!scratch || !partial || !sets.prepare(s, in, halves, call.real(9))) return outOfMemory;
  const auto sumsOf = [&](int64_t part) {
    float *memory = partial + part * stride, *norm = memory + ofCoefficients;
    std::memset(norm, 0, static_cast<size_t>(ofNorm) * 4);
    return Sums{CoefficientSums::in(memory, s, s.n + s.m), CoefficientSums::in(memory + ofWrite, s, s.m), norm};
  };
  const char *problem = withFloats(h, call.type(0), [&](auto *state) {
    using T = std::remove_pointer_t<decltype(state)>;
    const Backward<T> io{state, static_cast<const T *>(out), static_cast<const T *>(hNext), static_cast<const T *>(dhNext),
                         static_cast<const T *>(dx), static_cast<T *>(dh), static_cast<T *>(dout)};
    parallelFor(parts, [&](int64_t index, int thread) {
      const Range range = part(s.blocks(), parts, index);
      const Sums sums = sumsOf(index);
      const AmxScope amx;
      for (int64_t block = range.begin; block < range.end; block++) {
        const Span span(s, block);
        const Ahead ahead = aheadOf(s, block, io);
        float *room = scratch.of<float>(thread);
        if (!withFew(s, halves, [&]<int M, int N>() { backwardBlockOfFew<M, N>(s, span, sets, halves, io, sums, ahead, room); }))
          backwardBlock(s, span, sets, halves, io, sums, ahead, room);
      }
    });
    return static_cast<const char *>(nullptr);
  });
  if (problem) return problem;
  // Pointers only: sumsOf would clear what the parts hold.
  const Sums first{{partial, partial + (s.n + s.m) * s.ld, partial + 2 * (s.n + s.m) * s.ld},
                   {partial + ofWrite, partial + ofWrite + s.m * s.ld, partial + ofWrite + 2 * s.m * s.ld},
                   partial + ofCoefficients};
  writeParameterGradients(call, next, s, halves, sets, in, first, parts, stride);
  return call.problem();
}

}  // namespace VWN_ISA
}  // namespace vwn
