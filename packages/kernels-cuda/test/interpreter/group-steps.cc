/**
 * Products by a warpgroup, wgmma: PTX ISA, "Asynchronous Warpgroup Level Matrix Instructions". They are made when the first of the
 * four warps waits for them, and come to a warp's registers when that one does; until then there is NaN.
 */
#include <limits>

#include "assembler.h"
#include "block.h"
#include "matrix-instructions.h"

namespace vwn {
namespace ptx {
namespace {

constexpr unsigned warpsOfGroup = 4;
constexpr int64_t negatesA = 1, negatesB = 2, transposesA = 4, transposesB = 8;

std::deque<GroupProduct> &productsOf(Warp &warp) {
  auto &groups = warp.block->products;
  const size_t group = warp.index / warpsOfGroup;
  if (groups.size() <= group) groups.resize(group + 1);
  return groups[group];
}

size_t sumsOf(const Instruction &in) { return in.list.size() - (in.isFlag ? 4 : 0); }

bool fence(const Instruction &, Warp &warp, Mask mask) {
  if (!isWhole(warp, mask)) return false;
  warp.mayMultiply = true;
  return true;
}

uint64_t sameInAll(Warp &warp, Place place, const char *what) {
  const uint64_t *values = warp.at<uint64_t>(place.slot);
  for (unsigned lane = 1; lane < lanes; lane++)
    if (values[lane] != values[0]) throw std::runtime_error(std::string("lanes of a warp have different ") + what);
  return values[0];
}

/** What the registers have now is what is added to; then they are the product's. */
void takeSums(const Instruction &in, Warp &warp, size_t number) {
  for (size_t i = 0; i < sumsOf(in); i++) {
    float *values = warp.at<float>(in.list[i].slot);
    auto [found, isNew] = warp.pending.try_emplace(in.list[i].slot);
    if (isNew) std::memcpy(found->second.values.data(), values, sizeof found->second.values);
    found->second.last = number;
    for (unsigned lane = 0; lane < lanes; lane++) values[lane] = std::numeric_limits<float>::quiet_NaN();
  }
}

bool ask(const Instruction &in, Warp &warp, Mask mask) {
  if (mask != allLanes) return false;
  if (!warp.mayMultiply) throw std::runtime_error("no wgmma.fence since registers may have been written");
  std::deque<GroupProduct> &products = productsOf(warp);
  const size_t number = warp.products++, member = warp.index % warpsOfGroup;
  if (number == products.size()) products.push_back({&in});
  GroupProduct &product = products[number];
  if (product.instruction != &in) throw std::runtime_error("warps of a group ask for different products");
  const Mask adds = warp.predicates[static_cast<size_t>(in.c.slot)];
  if (adds != 0 && adds != allLanes) throw std::runtime_error("some lanes add to their sums and some do not");
  product.isAsked[member] = true, product.adds[member] = adds != 0;
  product.b[member] = sameInAll(warp, in.b, "factors");
  if (!in.isFlag) product.a[member] = sameInAll(warp, in.a, "factors");
  takeSums(in, warp, number);
  warp.block->cluster->moves++;
  return true;
}

bool commit(const Instruction &, Warp &warp, Mask mask) {
  if (!isWhole(warp, mask)) return false;
  warp.productGroups.push_back(warp.products);
  return true;
}

/** Sums of the four warps, 128 lanes, in and out. */
class Sums {
 public:
  Sums(Warp &warp, const Instruction &in) : warp_(warp), in_(in), values_(sumsOf(in)) {
    each([](float *sums, std::array<float, lanes> &own) { std::memcpy(sums, own.data(), sizeof own); });
  }
  float (*values())[128] { return reinterpret_cast<float(*)[128]>(values_.data()); }
  void give() {
    each([](float *sums, std::array<float, lanes> &own) { std::memcpy(own.data(), sums, sizeof own); });
  }

 private:
  template <class Body>
  void each(const Body &body) {
    const size_t first = warp_.index / warpsOfGroup * warpsOfGroup;
    for (unsigned member = 0; member < warpsOfGroup; member++)
      for (size_t i = 0; i < values_.size(); i++)
        body(values_[i].data() + member * lanes, warp_.block->warps[first + member]->pending.at(in_.list[i].slot).values);
  }
  Warp &warp_;
  const Instruction &in_;
  std::vector<std::array<float, 128>> values_;
};

void make(Warp &warp, GroupProduct &product) {
  const Instruction &in = *product.instruction;
  for (unsigned member = 1; member < warpsOfGroup; member++)
    if (product.a[member] != product.a[0] || product.b[member] != product.b[0] || product.adds[member] != product.adds[0])
      throw std::runtime_error("warps of a group multiply different factors");
  GroupOperands operands{};
  operands.aInRegisters = in.isFlag;
  const size_t first = warp.index / warpsOfGroup * warpsOfGroup;
  for (unsigned member = 0; in.isFlag && member < warpsOfGroup; member++)
    for (size_t i = 0; i < 4; i++)
      std::memcpy(operands.a[i] + member * lanes, warp.block->warps[first + member]->at<uint32_t>(in.list[sumsOf(in) + i].slot), lanes * sizeof(uint32_t));
  operands.aDescriptor = product.a[0], operands.bDescriptor = product.b[0];
  operands.addsToSums = product.adds[0];
  operands.negateA = in.number & negatesA, operands.negateB = in.number & negatesB;
  operands.aTransposed = in.number & transposesA, operands.bTransposed = in.number & transposesB;
  operands.columns = static_cast<int>(2 * sumsOf(in));
  // The window at address 0: what is below the block's own is never asked for.
  const std::vector<unsigned char> &shared = warp.block->shared;
  const SharedMemory window{shared.data() - sharedBegin, shared.size() + sharedBegin};
  Sums sums(warp, in);
  multiplyOfGroup(sums.values(), operands, window);
  sums.give();
  product.isDone = true;
}

/** Whether all warps have asked for all products that this one waits for. */
bool areAsked(Warp &warp, size_t end) {
  const std::deque<GroupProduct> &products = productsOf(warp);
  for (size_t i = warp.productsDone; i < end; i++)
    for (const bool isAsked : products[i].isAsked)
      if (!isAsked) return false;
  return true;
}

void giveSums(Warp &warp) {
  std::erase_if(warp.pending, [&](const auto &each) {
    if (each.second.last >= warp.productsDone) return false;
    std::memcpy(warp.at<float>(each.first), each.second.values.data(), sizeof each.second.values);
    return true;
  });
}

/** For all groups of products but for the last `number`. */
bool await(const Instruction &in, Warp &warp, Mask mask) {
  if (!isWhole(warp, mask)) return false;
  const size_t groups = warp.productGroups.size(), still = static_cast<size_t>(in.number);
  const size_t end = groups > still ? warp.productGroups[groups - still - 1] : warp.productsDone;
  if (!areAsked(warp, end)) return false;
  std::deque<GroupProduct> &products = productsOf(warp);
  for (; warp.productsDone < end; warp.productsDone++)
    if (GroupProduct &product = products[warp.productsDone]; !product.isDone) make(warp, product);
  giveSums(warp);
  if (warp.pending.empty()) warp.mayMultiply = false;
  return true;
}

/** wgmma.mma_async d, a, b, adds, sign of a, sign of b, [a transposed], [b transposed]. */
void assembleProduct(const Statement &statement, Assembler &assembler, Instruction &in) {
  const std::vector<Operand> &operands = statement.operands;
  in.step = ask;
  in.isFlag = operands.at(1).kind == Operand::Kind::list;
  for (const Operand &part : operands[0].parts) in.list.push_back(assembler.placeOf(part, Width::four));
  for (const Operand &part : operands[1].parts) in.list.push_back(assembler.placeOf(part, Width::four));
  if (!in.isFlag) in.a = assembler.placeOf(operands[1], Width::eight);
  in.b = assembler.placeOf(operands.at(2), Width::eight);
  in.c = {assembler.predicateOf(operands.at(3)), Width::truth};
  const auto isSet = [&](size_t i, uint64_t value) { return i < operands.size() && operands[i].bits == value; };
  in.number = (isSet(4, ~uint64_t{0}) ? negatesA : 0) | (isSet(5, ~uint64_t{0}) ? negatesB : 0);
  in.number |= in.isFlag ? (isSet(6, 1) ? transposesB : 0) : (isSet(6, 1) ? transposesA : 0) | (isSet(7, 1) ? transposesB : 0);
  const size_t expected = in.isFlag ? 7 : 8;
  if (operands.size() != expected) assembler.refuse(statement, "has another number of operands");
}

}  // namespace

bool assembleGroup(const Opcode &opcode, const Statement &statement, Assembler &assembler, Instruction &in) {
  if (opcode.base != "wgmma") return false;
  if (opcode.has("fence")) return in.step = fence, true;
  if (opcode.has("commit_group")) return in.step = commit, true;
  if (opcode.has("wait_group")) {
    in.number = static_cast<int64_t>(statement.operands.at(0).bits);
    return in.step = await, true;
  }
  const std::string columns = "n" + std::to_string(2 * statement.operands.at(0).parts.size()) + "k16";
  if (statement.opcode != "wgmma.mma_async.sync.aligned.m64" + columns + ".f32.bf16.bf16") return false;
  assembleProduct(statement, assembler, in);
  return true;
}

}  // namespace ptx
}  // namespace vwn
