/** What lanes do together: shuffles, barriers, matrices. PTX ISA, "Data Movement: shfl.sync", "Parallel Synchronization", "Warp Level Matrix". */
#include "addresses.h"
#include "assembler.h"
#include "forms.h"
#include "matrix-instructions.h"

namespace vwn {
namespace ptx {
namespace {

/** Whether all lanes that the instruction names are here; else those that are wait for them. */
bool areHere(Warp &warp, Mask mask, Mask named) {
  if (named & ~warp.alive) throw std::runtime_error("waits for lanes that have ended");
  return (mask & named) == named;
}

enum class From { xored, index, up, down };

/** d[lane] = a of another lane; which, the ISA's pseudocode for shfl.sync tells. */
template <From from>
unsigned sourceOf(unsigned lane, uint32_t b, uint32_t c, bool &isInside) {
  const unsigned segment = c >> 8 & 31, clamp = c & 31, by = b & 31;
  const unsigned first = lane & segment, last = first | (clamp & ~segment);
  int source = static_cast<int>(from == From::xored ? lane ^ by : from == From::index ? first | (by & ~segment) : from == From::up ? lane - by : lane + by);
  isInside = from == From::up ? source >= static_cast<int>(last) : source <= static_cast<int>(last);
  return isInside ? static_cast<unsigned>(source) : lane;
}

template <From from>
bool shuffleStep(const Instruction &in, Warp &warp, Mask mask) {
  const uint32_t *members = warp.at<uint32_t>(in.list.at(0).slot);
  const unsigned first = static_cast<unsigned>(__builtin_ctz(mask));
  if (!areHere(warp, mask, members[first])) return false;
  const uint32_t *b = warp.at<uint32_t>(in.b.slot), *c = warp.at<uint32_t>(in.c.slot);
  std::array<uint32_t, lanes> values;
  std::memcpy(values.data(), warp.at<uint32_t>(in.a.slot), sizeof values);
  Mask inside = 0;
  for (unsigned lane = 0; lane < lanes; lane++) {
    if (!(mask >> lane & 1)) continue;
    bool isInside = false;
    const unsigned source = sourceOf<from>(lane, b[lane], c[lane], isInside);
    if (members[lane] != members[first] || !(members[first] >> source & 1)) throw std::runtime_error("lane " + std::to_string(lane) + " asks lane " + std::to_string(source) + ", which takes no part");
    warp.at<uint32_t>(in.to.slot)[lane] = values[source];
    inside |= Mask{isInside} << lane;
  }
  if (in.list.size() > 1) {
    Mask &told = warp.predicates[static_cast<size_t>(in.list[1].slot)];
    told = (told & ~mask) | (inside & mask);
  }
  return true;
}

/** Lanes of the instruction's members, of the sign that it asks for, whose predicate holds. */
Mask voteOf(const Instruction &in, Warp &warp, Mask mask) {
  const Mask truth = warp.predicates[static_cast<size_t>(in.a.slot)];
  return (in.isFlag ? ~truth : truth) & mask;
}
/** vote.sync.any or .all, which in.number is, or .ballot. */
bool voteStep(const Instruction &in, Warp &warp, Mask mask) {
  const Mask members = warp.at<uint32_t>(in.b.slot)[__builtin_ctz(mask)];
  if (!areHere(warp, mask, members)) return false;
  const Mask votes = voteOf(in, warp, mask);
  if (in.to.width == Width::four) {
    eachLane(mask, [&](unsigned lane) { warp.at<uint32_t>(in.to.slot)[lane] = votes; });
    return true;
  }
  Mask &to = warp.predicates[static_cast<size_t>(in.to.slot)];
  to = (to & ~mask) | ((in.number ? votes == mask : votes != 0) ? mask : 0);
  return true;
}

bool syncWarp(const Instruction &in, Warp &warp, Mask mask) {
  return areHere(warp, mask, warp.at<uint32_t>(in.a.slot)[__builtin_ctz(mask)] & warp.alive);
}

/** All warps of the block; a warp comes with all of its lanes. */
bool syncBlock(const Instruction &, Warp &warp, Mask mask) {
  if (!isWhole(warp, mask)) return false;
  Block &block = *warp.block;
  if (!warp.isAtBarrier) {
    warp.isAtBarrier = true, warp.barrierTurn = block.turn, block.cluster->moves++;
    if (++block.atBarrier == block.warps.size()) block.atBarrier = 0, block.turn++;
  }
  if (block.turn == warp.barrierTurn) return false;
  warp.isAtBarrier = false;
  return true;
}

bool arriveInCluster(const Instruction &, Warp &warp, Mask mask) {
  if (!isWhole(warp, mask)) return false;
  Cluster &cluster = *warp.block->cluster;
  if (warp.isInCluster) throw std::runtime_error("comes to the cluster's barrier a second time before it has waited");
  warp.isInCluster = true, warp.clusterTurn = cluster.turn, cluster.moves++;
  if (++cluster.atBarrier == cluster.warps) cluster.atBarrier = 0, cluster.turn++;
  return true;
}

bool awaitCluster(const Instruction &, Warp &warp, Mask mask) {
  if (!isWhole(warp, mask)) return false;
  if (!warp.isInCluster) throw std::runtime_error("waits at the cluster's barrier and has not come to it");
  if (warp.block->cluster->turn == warp.clusterTurn) return false;
  warp.isInCluster = false;
  return true;
}

template <class T, size_t count>
void take(Warp &warp, const Place *places, T (&to)[count][lanes]) {
  for (size_t i = 0; i < count; i++) std::memcpy(to[i], warp.at<T>(places[i].slot), sizeof to[i]);
}
template <class T, size_t count>
void give(Warp &warp, const Place *places, size_t some, const T (&from)[count][lanes]) {
  for (size_t i = 0; i < some; i++) std::memcpy(warp.at<T>(places[i].slot), from[i], sizeof from[i]);
}

/** mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 d, a, b, c. */
bool multiply(const Instruction &in, Warp &warp, Mask mask) {
  if (mask != allLanes) return areHere(warp, mask, allLanes);
  float d[4][lanes], c[4][lanes];
  uint32_t a[4][lanes], b[2][lanes];
  const Place *places = in.list.data();
  take(warp, places + 4, a), take(warp, places + 8, b), take(warp, places + 10, c);
  multiplyOfWarp(d, a, b, c);
  give(warp, places, 4, d);
  return true;
}

/** ldmatrix of in.bytes matrices, transposed where the flag says so. */
bool loadMatricesStep(const Instruction &in, Warp &warp, Mask mask) {
  if (mask != allLanes) return areHere(warp, mask, allLanes);
  const unsigned char *rows[lanes] = {};
  for (unsigned lane = 0; lane < 8 * in.bytes; lane++) rows[lane] = hostAddress(warp, lane, Space::shared, addressOf(in, warp, in.a, lane), 16);
  uint32_t words[4][lanes];
  loadMatrices(words, rows, static_cast<int>(in.bytes), in.isFlag);
  give(warp, in.list.data(), in.bytes, words);
  return true;
}

void listAll(const Statement &statement, size_t from, size_t to, Assembler &assembler, Instruction &in) {
  for (size_t i = from; i < to; i++)
    for (const Operand &part : statement.operands.at(i).parts) in.list.push_back(assembler.placeOf(part, Width::four));
}

void assembleShuffle(const Opcode &opcode, const Statement &statement, Assembler &assembler, Instruction &in) {
  in.step = opcode.has("bfly") ? shuffleStep<From::xored> : opcode.has("idx") ? shuffleStep<From::index> : opcode.has("up") ? shuffleStep<From::up> : shuffleStep<From::down>;
  const std::vector<Operand> &operands = statement.operands;
  const bool tells = operands.at(0).kind == Operand::Kind::list;
  in.to = assembler.placeOf(tells ? operands[0].parts.at(0) : operands[0], Width::four);
  in.a = assembler.placeOf(operands.at(1), Width::four), in.b = assembler.placeOf(operands.at(2), Width::four), in.c = assembler.placeOf(operands.at(3), Width::four);
  in.list.push_back(assembler.placeOf(operands.at(4), Width::four));
  if (tells) in.list.push_back({assembler.predicateOf(operands[0].parts.at(1)), Width::truth});
}

/** vote.sync.any.pred p, [!]q, members. */
void assembleVote(const Opcode &opcode, const Statement &statement, Assembler &assembler, Instruction &in) {
  const bool isBallot = opcode.has("ballot");
  if (!isBallot && !opcode.has("any") && !opcode.has("all")) assembler.refuse(statement, "is not known here");
  Operand asked = statement.operands.at(1);
  in.isFlag = asked.isNegated, asked.isNegated = false;
  in.to = isBallot ? assembler.placeOf(statement.operands.at(0), Width::four) : Place{assembler.predicateOf(statement.operands.at(0)), Width::truth};
  in.a = {assembler.predicateOf(asked), Width::truth};
  in.b = assembler.placeOf(statement.operands.at(2), Width::four);
  in.number = opcode.has("all");
  in.step = voteStep;
}

void assembleBarrier(const Opcode &opcode, const Statement &statement, Assembler &assembler, Instruction &in) {
  if (opcode.has("cluster")) {
    in.step = opcode.has("arrive") ? arriveInCluster : awaitCluster;
  } else if (opcode.has("warp")) {
    in.step = syncWarp, in.a = assembler.placeOf(statement.operands.at(0), Width::four);
  } else {
    if (statement.operands.size() != 1 || statement.operands[0].bits != 0) assembler.refuse(statement, "is known of barrier 0 and all threads only");
    in.step = syncBlock;
  }
}

}  // namespace

bool assembleWarp(const Opcode &opcode, const Statement &statement, Assembler &assembler, Instruction &in) {
  if (opcode.base == "shfl") return assembleShuffle(opcode, statement, assembler, in), true;
  if (opcode.base == "vote") return assembleVote(opcode, statement, assembler, in), true;
  if (opcode.base == "bar" || opcode.base == "barrier") return assembleBarrier(opcode, statement, assembler, in), true;
  if (statement.opcode == "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32") {
    in.step = multiply;
    return listAll(statement, 0, 4, assembler, in), true;
  }
  if (opcode.base != "ldmatrix" || !opcode.has("m8n8")) return false;
  in.step = loadMatricesStep;
  in.bytes = opcode.has("x4") ? 4 : opcode.has("x2") ? 2 : 1;
  in.isFlag = opcode.has("trans");
  in.a = assembler.baseOf(statement.operands.at(1), in);
  listAll(statement, 0, 1, assembler, in);
  return true;
}

}  // namespace ptx
}  // namespace vwn
