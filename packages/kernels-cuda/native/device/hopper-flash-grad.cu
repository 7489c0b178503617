/**
 * Gradients of causal attention by warpgroups, in one kernel behind flash-grad.cu's, which makes the dots: a block takes 128 or 192 keys
 * past all queries that see them. It keeps dk and dv; what it has for dq it adds in its turn to what blocks of later keys have added, so
 * that results repeat. Five products of tiles: scores, dy·v, and what these weigh for each gradient. The next queries arrive meanwhile.
 */
#include "flash-grad.h"
#include "hopper-flash.h"
#include "turns.h"

namespace vwn {
namespace cuda {
namespace {

#if defined(VWN_HAS_WARPGROUPS)
/** A block's keys, of one key head; heads count through all sequences. Grid: one head's tiles of keys after another's, the last ones first. */
template <int D>
struct HopperKeys {
  static constexpr int rows = HopperTiles<D>::gradRows;
  int head, tile;

  VWN_DEVICE explicit HopperKeys(const AttentionSizes &s) {
    const int tiles = static_cast<int>((s.S + rows - 1) / rows), block = static_cast<int>(blockIdx.x);
    head = block / tiles;
    tile = tiles - 1 - block % tiles;
  }
  VWN_DEVICE int first() const { return tile * rows; }
  template <class T>
  VWN_DEVICE Head<T> of(T *k, const AttentionSizes &s) const {
    return keyHead(k, s, head / static_cast<int>(s.K), head % static_cast<int>(s.K));
  }
  /** How many of the block's groups have keys that a query of a step sees; the last query sees the most. */
  VWN_DEVICE int groupsSeen(const AttentionSizes &s, int ahead) const {
    const int seen = (ahead + HopperTiles<D>::queriesOfStep - 1) / groupRows + 1, left = static_cast<int>(s.S) - first();
    return seen * groupRows < left ? seen : (left + groupRows - 1) / groupRows;
  }
  /** How many blocks of later keys a step of queries sees: they add to its dq before this one. */
  VWN_DEVICE uint32_t turnOf(const AttentionSizes &s, int query) const {
    const int64_t seen = s.S - s.T + query + HopperTiles<D>::queriesOfStep;
    return static_cast<uint32_t>(static_cast<int>((seen < s.S ? seen : s.S) - 1) / rows - tile);
  }
};

/** Where a step's queries and dy lie, and what is known of each query. */
struct StepRoom {
  bf16 *queries, *dOut;
  float *logSums, *dots;
};

/** Shared: keys, values, twice a step's queries and dy, gradients of its scores, and twice what is known of queries. */
template <int D>
struct GradRoom {
  static constexpr int queryRows = HopperTiles<D>::queriesOfStep, keyRows = HopperTiles<D>::gradRows;
  bf16 *keys, *values, *steps, *scoreGrads;
  float *known;

  VWN_DEVICE explicit GradRoom(bf16 *at) {
    keys = at, at += keyRows * D;
    values = at, at += keyRows * D;
    steps = at, at += 4 * queryRows * D;
    scoreGrads = at, at += keyRows * queryRows;
    known = reinterpret_cast<float *>(at);
  }
  VWN_DEVICE StepRoom step(int place) const {
    bf16 *queries = steps + place * 2 * queryRows * D;
    float *logSums = known + place * 2 * queryRows;
    return {queries, queries + queryRows * D, logSums, logSums + queryRows};
  }
};

/** The first group asks for queries, the second for dy, and the last for what is known of them. */
template <int D>
VWN_DEVICE void askForStep(const bf16 *q, const bf16 *dy, const Statistics &statistics, const AttentionSizes &s,
                           const QueryWalk<HopperTiles<D>::queriesOfStep> &step, const StepRoom &to) {
  constexpr int rows = HopperTiles<D>::queriesOfStep;
  if (step.left <= 0) return;
  const int group = groupOfBlock(), thread = anew(static_cast<int>(threadIdx.x)) % groupThreads;
  if (group < 2) {
    const bf16 *all = group ? dy : q;
    askForSlabs<D, rows, groupThreads>(all + step.place, static_cast<int>(s.H * s.d), static_cast<int>(s.T) - step.query,
                                       static_cast<int>(s.d), all, group ? to.dOut : to.queries, thread);
  }
  if (group < HopperTiles<D>::gradGroups - 1) return;
  const int row = thread % rows, of = thread / rows;
  const float *from = (of ? statistics.dots : statistics.logSums) + step.head * s.T;
  const bool isThere = step.query + row < s.T;
  copyAsync<4>((of ? to.dots : to.logSums) + row, isThere ? from + step.query + row : from, isThere);
}

/** A group's factors [64, 8·tiles] into a slab whose rows are the block's, and columns 64. */
template <int depth>
VWN_DEVICE void showFactors(const Left (&factors)[depth], bf16 *slab) {
  const int first = placeInSlab(static_cast<unsigned>(rowOfSum<1>(0, 0)), static_cast<unsigned>(columnOfSum(0, 0)));
#pragma unroll
  for (int j = 0; j < 2 * depth; j++) {
    bf16 *at = slab + eightOn(first, j);
#pragma unroll
    for (int half = 0; half < 2; half++)
      *reinterpret_cast<uint32_t *>(at + half * 8 * slabColumns) = factors[j / 2].words[j % 2 * 2 + half];
  }
}

/**
 * Gradients of scores: p ∘ (dy·v − dot), with p as it weighs dy, rounded to bf16, lest registers hold it in float32 too; 0 where a query
 * does not see a key, whatever its dot may be.
 */
template <bool hides, int tiles, class Dots>
VWN_DEVICE void toScoreGrads(const Left (&probabilities)[tiles / 2], const Sum (&products)[tiles], const Dots &dotOf,
                             Left (&factors)[tiles / 2]) {
  Sum grads[tiles];
  eachQuery<tiles>(dotOf, [&](int j, int i, float dot) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const uint32_t pair = probabilities[j / 2].words[j % 2 * 2 + half];
      const float probability = i ? upperOf(pair) : lowerOf(pair), grad = probability * (products[j].values[2 * half + i] - dot);
      grads[j].values[2 * half + i] = hides && probability == 0.0f ? 0.0f : grad;
    }
  });
  toLefts(grads, factors);
}

/**
 * One step of queries, whose scores and dy·v have been asked for, in this order: probabilities are made while dy·v is, and what they are
 * multiplied by, `factors`, while they weigh dy, and so is `meanwhile`. `hides`: whether a query does not see one of the group's keys.
 */
template <bool hides, int D, int tiles, class Meanwhile>
VWN_DEVICE void addStep(const StepRoom &step, const AttentionSizes &s, int ahead, const Meanwhile &meanwhile, Sum (&scores)[1][tiles],
                        Sum (&products)[1][tiles], Sum (&valueSums)[1][D / 8], Left (&factors)[tiles / 2]) {
  awaitProducts<1>();
  holdSums(scores[0]);
  Left probabilities[tiles / 2], own[tiles / 2];
  toProbabilities<hides>(s.scale * log2OfE, ahead, [&](int query) { return step.logSums[query]; }, scores);
  toLefts(scores[0], probabilities);
  // PTX forbids even to read a factor's registers until its products are there: gradients of scores are made of a copy.
  copyFactors(probabilities, own);
  holdFactors(probabilities);
  beginProducts();
  addGroupWeightedRows<D>(probabilities, step.dOut, valueSums[0]);
  commitProducts();
  meanwhile();
  awaitProducts<1>();
  holdSums(products[0]);
  toScoreGrads<hides>(own, products[0], [&](int query) { return step.dots[query]; }, factors);
  holdFactors(factors);
  awaitProductsLast(s.T);
  holdSums(valueSums[0]);
}

/** Asks for 64 columns of a step's dq: what groups have shown, keys by queries, by their keys. */
template <int D>
VWN_DEVICE void weighKeys(const GradRoom<D> &room, int slab, Sum (&sums)[8]) {
  constexpr int keyRows = HopperTiles<D>::gradRows;
  const ColumnsFactor a = factorOfColumns(room.scoreGrads, 0), b = factorOfColumns(room.keys + slab * keyRows * slabColumns, 0);
#pragma unroll
  for (int k = 0; k < keyRows; k += 16) multiplyGroup(sums, a + k * slabColumns, b + k * slabColumns, k > 0);
}

/** A step of a block of keys: how many keys from the block's first on its first query sees, and the block's groups whose keys it sees. */
struct GradStep {
  int number, head, query, ahead, seen;
};

/** How a block's parts of dq come to those of other blocks: that of the last keys puts its own down, that of the first writes dq. */
template <int D>
struct QueryTurns {
  static constexpr int rows = HopperTiles<D>::queriesOfStep, slabs = D / slabColumns, groups = HopperTiles<D>::gradGroups;
  const QuerySums &all;
  const HopperKeys<D> &keys;
  const AttentionSizes &s;
  /** Of the step that has begun: the number of its tile of queries among those of all heads, and how many blocks add there before this one. */
  int queries = 0;
  uint32_t turn = 0;

  /** Which 64 columns of a step's dq a group makes: where there are fewer than groups, these relieve each other. −1: none. */
  VWN_DEVICE static int slabOf(int step, int group) {
    if constexpr (slabs == groups) return group;
    return group == groups - 1 - step % groups ? 0 : -1;
  }
  VWN_DEVICE int queriesOf(const GradStep &step) const {
    return step.head * ((static_cast<int>(s.T) + rows - 1) / rows) + step.query / rows;
  }
  VWN_DEVICE void begin(const GradStep &step) {
    queries = queriesOf(step);
    turn = keys.turnOf(s, step.query);
  }
  /** Until a group may add to a step that is yet to begin. Takes as long as the device's memory does at least. */
  VWN_DEVICE void await(const GradStep &step, int group) const {
    const uint32_t before = keys.turnOf(s, step.query);
    if (before > 0 && slabOf(step.number, group) >= 0) awaitTurn(all.turns + queriesOf(step), before, all.problem);
  }
  /**
   * What this block had for the step before one of this number has been added, and all have come to a barrier since: others may add. It
   * takes longer while what was added is on its way.
   */
  VWN_DEVICE void pass(int number, int group) const {
    if (number > 0 && keys.tile > 0 && slabOf(number - 1, group) == slabs - 1 && threadIdx.x % groupThreads == 0)
      passTurn(all.turns + queries, turn + 1);
  }
  /** A group's sums of the step that has begun, of the slab that it makes. The block of the first keys gets the sums of all. */
  VWN_DEVICE void add(int slab, Sum (&sums)[1][8]) const {
    float *place = all.sums + (static_cast<int64_t>(queries * slabs + slab) * 8 * groupThreads + threadIdx.x % groupThreads) * 4;
    const auto eachSum = [&](const auto &body) {
#pragma unroll
      for (int j = 0; j < 8; j++) body(place + j * groupThreads * 4, sums[0][j]);
    };
    if (keys.tile > 0 && turn > 0) eachSum([](float *at, Sum &sum) { addInTurn(at, sum); });
    else if (keys.tile > 0) eachSum([](float *at, Sum &sum) { putInTurn(at, sum); });
    else if (turn > 0) eachSum([](float *at, Sum &sum) { sum = sumOf(takeInTurn(at), sum); });
  }
};

/** A group's 64 columns of a step's dq. */
template <int D>
VWN_DEVICE void writeQueries(const Sum (&sums)[1][8], const AttentionSizes &s, const GradStep &step, int slab, bf16 *dq) {
  const Head<bf16> all = headOfQueries(dq, s, step.head);
  writeRows<slabColumns>(sums, s.scale, {all.data + slab * slabColumns, all.stride}, step.query - groupOfBlock() * groupRows, s.T,
                         s.d - slab * slabColumns);
}

/** A step's gradients of scores, of a group whose keys its queries see. Turns are asked for, and passed on, while products are made. */
template <int D, int tiles>
VWN_DEVICE void makeFactors(const GradRoom<D> &room, const StepRoom &from, const AttentionSizes &s, const GradStep &step, int group,
                            const QueryTurns<D> &turns, Sum (&products)[1][tiles], Sum (&valueSums)[1][D / 8],
                            Left (&factors)[tiles / 2]) {
  constexpr int keyRows = HopperTiles<D>::gradRows;
  Sum scores[1][tiles];
  beginProducts();
  groupRowsByRows<D>(room.keys, keyRows, group * groupRows, from.queries, scores[0]);
  commitProducts();
  groupRowsByRows<D>(room.values, keyRows, group * groupRows, from.dOut, products[0]);
  commitProducts();
  turns.await(step, group);
  const auto pass = [&] { turns.pass(step.number, group); };
  if (group * groupRows + groupRows - 1 > step.ahead) addStep<true, D>(from, s, step.ahead, pass, scores, products, valueSums, factors);
  else addStep<false, D>(from, s, step.ahead, pass, scores, products, valueSums, factors);
}

/** What gradients of scores weigh: a group's queries where they see its keys, and keys, a slab of them where it is one. */
template <int D, int tiles>
VWN_DEVICE void addFactors(const GradRoom<D> &room, const StepRoom &from, bool isSeen, int slab, const Left (&factors)[tiles / 2],
                           Sum (&keySums)[1][D / 8], Sum (&sums)[1][tiles]) {
  if (isSeen) {
    beginProducts();
    addGroupWeightedRows<D>(factors, from.queries, keySums[0]);
    commitProducts();
  }
  if (slab >= 0) {
    beginProducts();
    weighKeys<D>(room, slab, sums[0]);
    commitProducts();
  }
  awaitProducts<0>();
  holdSums(keySums[0]);
  holdSums(sums[0]);
}

template <int D>
VWN_DEVICE void askForKeys(const GradRoom<D> &room, const HopperKeys<D> &block, const bf16 *k, const bf16 *v, const AttentionSizes &s) {
  constexpr int rows = HopperTiles<D>::gradRows, threads = HopperTiles<D>::gradThreads;
  askForSlabs<D, rows, threads>(block.of(k, s), block.first(), s.S, s.d, room.keys);
  askForSlabs<D, rows, threads>(block.of(v, s), block.first(), s.S, s.d, room.values);
}

template <int D>
VWN_DEVICE void hopperGrad(const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *dy, const Statistics &statistics,
                           const QuerySums &querySums, bf16 *dq, bf16 *dk, bf16 *dv, const AttentionSizes &s) {
  constexpr int rows = HopperTiles<D>::queriesOfStep, tiles = rows / 8;
  VWN_SHARED_SLABS(shared);
  const GradRoom<D> room(shared);
  const HopperKeys<D> block(s);
  const int key = block.first(), group = groupOfBlock();
  QueryWalk<rows> walk(s, block.head, key);
  askForKeys(room, block, k, v, s);
  askForStep<D>(q, dy, statistics, s, walk, room.step(0));
  commitCopies();
  // dy·v, and then the step's dq: registers that are free for it.
  Sum keySums[1][D / 8] = {}, valueSums[1][D / 8] = {}, products[1][tiles] = {};
  QueryTurns<D> turns{querySums, block, s};
  int number = 0;
  for (; walk.left > 0; number++) {
    const StepRoom now = room.step(number % 2);
    const int ahead = static_cast<int>(s.S - s.T) + walk.query - key;
    const GradStep step{number, walk.head, walk.query, ahead, block.groupsSeen(s, ahead)};
    arriveForProducts();
    walk.next(s, key);
    askForStep<D>(q, dy, statistics, s, walk, room.step((number + 1) % 2));
    commitCopies();
    Left factors[tiles / 2] = {};
    if (group < step.seen) makeFactors(room, now, s, step, group, turns, products, valueSums, factors);
    else turns.await(step, group), turns.pass(number, group);
    showFactors(factors, room.scoreGrads);
    fenceForProducts();
    __syncthreads();
    const int slab = turns.slabOf(number, group);
    turns.begin(step);
    addFactors(room, now, group < step.seen, slab, factors, keySums, products);
    if (slab < 0) continue;
    turns.add(slab, products);
    if (block.tile == 0) writeQueries<D>(products, s, step, slab, dq);
  }
  __syncthreads();
  turns.pass(number, group);
  writeRows<D>(keySums, s.scale, block.of(dk, s), key, s.S, s.d);
  writeRows<D>(valueSums, 1.0f, block.of(dv, s), key, s.S, s.d);
}
#endif
VWN_HOPPER_FLASH(hopperGrad, Tiles::gradThreads, gradBlocks,
                 (const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *dy, const float *logSums, const float *dots,
                  QuerySums querySums, bf16 *dq, bf16 *dk, bf16 *dv, AttentionSizes sizes),
                 (q, k, v, dy, {logSums, dots}, querySums, dq, dk, dv, sizes))

}  // namespace
}  // namespace cuda
}  // namespace vwn
