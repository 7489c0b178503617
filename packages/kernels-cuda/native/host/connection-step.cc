/**
 * From one sublayer to the next in one pass. Kernels: device/connection-few*.cu for few slots in bf16, hopper-connection*.cu by
 * warpgroups for 64 slots on compute capability 9.0, backward in clusters of two blocks where a state is wide, connection-tiles*.cu
 * by tensor cores, connection-step*.cu for every other shape; connection-parameter-grad.cu behind each backward pass.
 */
#include <algorithm>
#include <string>
#include <type_traits>

#include "../device/connection-few-shape.h"
#include "../device/hopper-connection-shape.h"
#include "../runtime.h"
#include "../warpgroups.h"
#include "connection-inputs.h"
#include "functions.h"
#include "parts.h"

namespace vwn {
namespace VWN_ISA {
namespace {

/** Blocks that share out the tokens, and the memory that each of them works in: shared, or else of the device. */
struct Workers {
  int64_t blocks, sharedBytes;
  float *spilled;

  Workers(const ConnectionShape &s, int64_t floats, int64_t most) : blocks(s.tokens < most ? s.tokens : most) {
    const bool fits = floats * 4 <= sharedLimit();
    sharedBytes = fits ? floats * 4 : 0;
    spilled = fits ? nullptr : static_cast<float *>(scratch(Slot::packed, blocks * floats * 4 + 4));
  }
};

constexpr int64_t blocksOfMultiprocessor = 4;

/** From the sums of `parts` blocks. */
void parameterGradients(const ConnectionShape &s, const ConnectionParameters &writing, const ConnectionParameters &reading,
                        const float *partial, int64_t parts, const ConnectionGradients &toWriting, const ConnectionGradients &toReading) {
  const int64_t count = sumsOfStep(s).count, items = writeColumns(s) * std::max(s.n, s.dynamic ? s.db : 0);
  float *totals = static_cast<float *>(scratch(Slot::total, count * 4));
  addParts(partial, totals, parts, count);
  const float *sums = totals;
  launch("connectionParameterGrad_f32", {blocksFor(items), 2}, 256, 0, s, writing, reading, sums, toWriting, toReading);
}

/** What the kernels for a shape whose numbers they know are called behind their underscore. */
std::string suffixOfKnown(const ConnectionShape &s) {
  return "of" + std::to_string(s.m) + "x" + std::to_string(s.n) + "x" + std::to_string(s.db);
}

/** The forward pass by tensor cores. False where the shape is not for them. */
bool launchTiles(const ConnectionShape &s, const ConnectionParameters &writing, const ConnectionParameters &reading, void *h,
                 void *out, void *hNext, void *x) {
  if (!takesTiles(s)) return false;
  const ConnectionTiles tiles = tilesFor(s, sharedLimit());
  if (tiles.tokens == 0) return false;
  const int64_t bytes = bytesOfTiles(s, tiles), atOnce = blocksAtOnce(bytes, sharedLimit()) * multiprocessors();
  const int64_t count = (s.tokens + tiles.tokens - 1) / tiles.tokens;
  const std::string suffix = isKnown(s) ? suffixOfKnown(s) : "upTo" + std::to_string(rowsOfToken(s));
  launch("connectionTiles_" + suffix, {count < atOnce ? count : atOnce}, 32 * warpsOfForward, bytes, s, tiles, writing, reading,
         static_cast<const bf16 *>(h), static_cast<const bf16 *>(out), static_cast<bf16 *>(hNext), static_cast<bf16 *>(x));
  return true;
}

/** The forward pass by warpgroups. False where the shape is not for them, or there are none. */
bool launchHopper(const ConnectionShape &s, const ConnectionParameters &writing, const ConnectionParameters &reading, void *h,
                  void *out, void *hNext, void *x) {
  if (!takesWarpgroups(s) || !usesWarpgroups()) return false;
  const int64_t ring = ringOfHopper(s, sharedLimit()), bytes = bytesOfHopper(s, ring);
  if (ring == 0) return false;
  const int64_t atOnce = blocksOfHopper(s, ring, sharedLimit());
  launch("hopperConnection_of" + std::to_string(slabsOfHopperKernel(s)), {std::min(s.tokens, atOnce * multiprocessors())},
         2 * groupThreads, bytes, s, static_cast<int32_t>(ring), writing, reading, static_cast<const bf16 *>(h),
         static_cast<const bf16 *>(out), static_cast<bf16 *>(hNext), static_cast<bf16 *>(x));
  return true;
}

/** Blocks of few slots that a multiprocessor has registers for, with 128 threads each or else. */
int64_t blocksOfFew(const ConnectionShape &s, int64_t blocks) {
  const int64_t each = blocks * 128 / threadsOfFew(s);
  return std::min(s.tokens, (each > 1 ? each : 1) * multiprocessors());
}
std::string nameOfFew(const char *kernel, const ConnectionShape &s) {
  return std::string(kernel) + "_of" + std::to_string(s.m) + "x" + std::to_string(s.n);
}

/** The forward pass of few slots. False where the shape is not for it. */
bool launchFew(const ConnectionShape &s, const ConnectionParameters &writing, const ConnectionParameters &reading, void *h,
               void *out, void *hNext, void *x) {
  if (!takesFew(s)) return false;
  launch(nameOfFew("connectionFew", s), {blocksOfFew(s, 3)}, threadsOfFew(s), bytesOfFew(s), s, writing, reading,
         static_cast<const bf16 *>(h), static_cast<const bf16 *>(out), static_cast<bf16 *>(hNext), static_cast<bf16 *>(x));
  return true;
}

/** Which kernel makes the backward pass. */
enum class Way { general, few, tiles, warpgroups };

/** Parts of the backward pass, mostly a block, each of which adds up the gradients of parameters over its own tokens. */
struct GradBlocks {
  Way way;
  int64_t count;
  ConnectionTiles tiles;
  HopperGradShare share;
};

GradBlocks gradBlocksFor(const ConnectionShape &s, int32_t type) {
  if (type == VWN_BF16 && takesFew(s) && bytesOfFewGrad(s) <= sharedLimit()) return {Way::few, blocksOfFew(s, 2), {}, {}};
  const HopperGradShare share = hopperGradShare(s, sharedLimit(), usesClusters());
  if (type == VWN_BF16 && takesWarpgroups(s) && usesWarpgroups() && share.blocks > 0)
    return {Way::warpgroups, std::min<int64_t>(s.tokens, std::max<int64_t>(multiprocessors() / share.blocks, 1)), {}, share};
  if (type == VWN_BF16 && takesTiles(s)) {
    const ConnectionTiles tiles = gradTilesFor(s, sharedLimit());
    if (tiles.tokens > 0)
      return {Way::tiles, std::min<int64_t>((s.tokens + tiles.tokens - 1) / tiles.tokens, multiprocessors()), tiles, {}};
  }
  return {Way::general, std::min<int64_t>(s.tokens, blocksOfMultiprocessor * multiprocessors()), {}, {}};
}

/** The kernel that is compiled for a token's rows, and for as many columns of A° as the shape has, or more. */
std::string nameOfGradTiles(const ConnectionShape &s, const ConnectionTiles &tiles) {
  if (isKnown(s, tiles)) return "connectionTilesGrad_" + suffixOfKnown(s);
  const int64_t rows = rowsOfToken(s), most = 4 * s.m <= rows ? rows / 4 : rows / 2;
  return "connectionTilesGrad_upTo" + std::to_string(most) + "x" + std::to_string(rows);
}

/** `h` … `dout` of io as the call has them, of any type. */
void launchGrad(const ConnectionShape &s, const GradBlocks &blocks, const ConnectionParameters &writing,
                const ConnectionParameters &reading, int32_t type, const ConnectionGradTensors &io) {
  if (blocks.way == Way::few)
    return launch(nameOfFew("connectionFewGrad", s), {blocks.count}, threadsOfFew(s), bytesOfFewGrad(s), s, writing, reading, io);
  if (blocks.way == Way::tiles) {
    const int64_t warps = isKnown(s, blocks.tiles) ? warpsOfKnown : warpsOfOthers;
    return launch(nameOfGradTiles(s, blocks.tiles), {blocks.count}, 32 * warps, bytesOfGradTiles(s, blocks.tiles), s, blocks.tiles,
                  writing, reading, io);
  }
  if (blocks.way == Way::warpgroups) {
    const std::string kernel = blocks.share.blocks > 1 ? "hopperConnectionGradInClusters_of" : "hopperConnectionGrad_of";
    return launch(kernel + std::to_string(blocks.share.slabsOfGroup), {blocks.count * blocks.share.blocks}, 2 * groupThreads,
                  blocks.share.bytes, s, writing, reading, io);
  }
  const int64_t floats = backwardRoom(s);
  const Workers workers(s, floats, blocks.count);
  withFloats(io.dh, type, [&](auto *to) {
    using T = std::remove_pointer_t<decltype(to)>;
    const auto as = [](const bf16 *data) { return reinterpret_cast<const T *>(data); };
    launch(forType("connectionStepGrad", type), {workers.blocks}, 256, workers.sharedBytes, s, writing, reading, as(io.h), as(io.out),
           as(io.hNext), as(io.dhNext), as(io.dx), to, reinterpret_cast<T *>(io.dout), io.partial, workers.spilled, floats);
  });
}

}  // namespace

/**
 * Numbers: m, n, db, tokens, eps, write, read, dynamic, normed, normEps.
 * Buffers: h, [write: out], parameters as ParameterReader takes them, [write: hNext], [read: x].
 */
const char *connection_step(const vwn_call *raw) {
  Call call(raw, 3, 10);
  const ConnectionShape s = connectionShape(call);
  if (const char *problem = problemOf(s)) return problem;
  const int64_t state = Call::product({s.tokens, s.n, s.db}), backbone = Call::product({s.tokens, s.m, s.db});
  void *h = call.reals(0, {state}), *out = s.write ? call.reals(1, {backbone}) : nullptr;
  ParameterReader reader(call, s.write ? 2 : 1, s);
  const auto writing = reader.writing<ConnectionParameters>(), reading = reader.reading<ConnectionParameters>();
  void *hNext = s.write ? call.reals(reader.next++, {state}) : nullptr;
  void *x = s.read ? call.reals(reader.next, {backbone}) : nullptr;
  if (s.write) call.sameType({0, 1, reader.next - 1});
  if (s.read) call.sameType({0, reader.next});
  if (call.problem()) return call.problem();
  if (call.type(0) == VWN_BF16 && launchFew(s, writing, reading, h, out, hNext, x)) return nullptr;
  if (call.type(0) == VWN_BF16 && launchHopper(s, writing, reading, h, out, hNext, x)) return nullptr;
  if (call.type(0) == VWN_BF16 && launchTiles(s, writing, reading, h, out, hNext, x)) return nullptr;
  const int64_t floats = forwardRoom(s);
  const Workers workers(s, floats, 16 * multiprocessors());
  withFloats(h, call.type(0), [&](auto *from) {
    using T = std::remove_pointer_t<decltype(from)>;
    launch(forType("connectionStep", call.type(0)), {workers.blocks}, 256, workers.sharedBytes, s, writing, reading,
           static_cast<const T *>(from), static_cast<const T *>(out), static_cast<T *>(hNext), static_cast<T *>(x),
           workers.spilled, floats);
  });
  return nullptr;
}

/**
 * Numbers: m, n, db, tokens, eps, write, read, dynamic, normed, normEps, hasDhNext.
 * Buffers: h, [write: out], parameters, [write and read: hNext], [hasDhNext: dhNext], [read: dx], then the results dh,
 * [write: dout], and gradients in the order of the parameters.
 */
const char *connection_step_grad(const vwn_call *raw) {
  Call call(raw, 4, 11);
  const ConnectionShape s = connectionShape(call);
  if (const char *problem = problemOf(s)) return problem;
  const int64_t state = Call::product({s.tokens, s.n, s.db}), backbone = Call::product({s.tokens, s.m, s.db});
  const void *h = call.reals(0, {state}), *out = s.write ? call.reals(1, {backbone}) : nullptr;
  ParameterReader reader(call, s.write ? 2 : 1, s);
  const auto writing = reader.writing<ConnectionParameters>(), reading = reader.reading<ConnectionParameters>();
  const int first = reader.next;
  const void *hNext = s.write && s.read ? call.reals(reader.next++, {state}) : nullptr;
  const void *dhNext = call.integer(10) ? call.reals(reader.next++, {state}) : nullptr;
  const void *dx = s.read ? call.reals(reader.next++, {backbone}) : nullptr;
  void *dh = call.reals(reader.next++, {state}), *dout = s.write ? call.reals(reader.next++, {backbone}) : nullptr;
  for (int i = first; i < reader.next; i++) call.sameType({0, i});
  if (s.write) call.sameType({0, 1});
  const auto toWriting = reader.writing<ConnectionGradients>(), toReading = reader.reading<ConnectionGradients>();
  if (call.problem()) return call.problem();
  const GradBlocks blocks = gradBlocksFor(s, call.type(0));
  float *partial = static_cast<float *>(scratch(Slot::partial, blocks.count * sumsOfStep(s).count * 4 + 4));
  launchGrad(s, blocks, writing, reading, call.type(0),
             {static_cast<const bf16 *>(h), static_cast<const bf16 *>(out), static_cast<const bf16 *>(hNext),
              static_cast<const bf16 *>(dhNext), static_cast<const bf16 *>(dx), static_cast<bf16 *>(dh),
              static_cast<bf16 *>(dout), partial});
  parameterGradients(s, writing, reading, partial, blocks.count, toWriting, toReading);
  return nullptr;
}

}  // namespace VWN_ISA
}  // namespace vwn
