/**
 * Runs grids: block after block, a cluster's blocks at once. Of a warp's paths the one that stands first in the text goes on, until
 * it meets another: what branches divided comes together again where it can. Every second block takes its warps in reverse.
 */
#include <algorithm>

#include "block.h"

namespace vwn {
namespace ptx {
namespace {

Mask guarded(const Instruction &in, const Warp &warp, Mask mask) {
  if (in.guard < 0) return mask;
  const Mask truth = warp.predicates[static_cast<size_t>(in.guard)];
  return mask & (in.isGuardNegated ? ~truth : truth);
}

/** Paths that stand at the same place are one. */
void meet(std::vector<Path> &paths) {
  std::sort(paths.begin(), paths.end(), [](const Path &a, const Path &b) { return a.at < b.at; });
  size_t last = 0;
  for (size_t i = 1; i < paths.size(); i++) {
    if (paths[i].at == paths[last].at) paths[last].mask |= paths[i].mask, paths[last].waits = false;
    else paths[++last] = paths[i];
  }
  paths.resize(last + 1);
}

void branch(Warp &warp, size_t path, Mask taken, uint32_t target) {
  Path &own = warp.paths[path];
  const Mask rest = own.mask & ~taken;
  own.at = rest ? own.at + 1 : target;
  if (!rest || !taken) return;
  own.mask = rest;
  warp.paths.push_back({target, taken});
}

/** True: the path has ended. */
bool end(Warp &warp, size_t path, Mask ended) {
  Path &own = warp.paths[path];
  warp.alive &= ~ended, own.mask &= ~ended, own.at++;
  warp.block->cluster->moves++;
  if (own.mask) return false;
  warp.paths.erase(warp.paths.begin() + static_cast<std::ptrdiff_t>(path));
  return true;
}

/** Goes on with a path until it waits, ends, divides or comes to where another path stands. */
void follow(const Program &program, Warp &warp, size_t path) {
  uint32_t next = ~0u;
  for (size_t i = 0; i < warp.paths.size(); i++)
    if (i != path) next = std::min(next, warp.paths[i].at > warp.paths[path].at ? warp.paths[i].at : next);
  const size_t paths = warp.paths.size();
  while (warp.paths[path].at < next) {
    Path &own = warp.paths[path];
    const Instruction &in = program.code[own.at];
    const Mask mask = guarded(in, warp, own.mask);
    program.counts[own.at]++;
    if (in.flow == Flow::on) {
      if (mask && !in.step(in, warp, mask)) {
        own.waits = true;
        return;
      }
      own.at++;
    } else if (in.flow == Flow::end) {
      if (!mask) own.at++;
      else if (end(warp, path, mask)) return;
    } else {
      const uint32_t before = own.at;
      branch(warp, path, mask, in.target);
      if (warp.paths.size() != paths || (paths > 1 && warp.paths[path].at < before)) return;
    }
  }
}

/** Until all of the warp's lanes wait or have ended. */
void advance(const Program &program, Warp &warp) {
  for (Path &path : warp.paths) path.waits = false;
  while (true) {
    if (warp.paths.size() > 1) meet(warp.paths);
    const auto ready = std::find_if(warp.paths.begin(), warp.paths.end(), [](const Path &path) { return !path.waits; });
    if (ready == warp.paths.end()) return;
    follow(program, warp, static_cast<size_t>(ready - warp.paths.begin()));
  }
}

std::string placeOf(const Program &program, const Block &block, const Warp &warp) {
  std::string where = "block " + std::to_string(block.at.x) + ", warp " + std::to_string(warp.index);
  for (const Path &path : warp.paths) {
    const Instruction &in = program.code[path.at];
    where += ", at " + (in.statement ? "line " + std::to_string(in.statement->line) + " (" + in.statement->opcode + ')' : std::string("the end"));
  }
  return where;
}

uint32_t specialOf(const std::string &name, const Launch &launch, const Block &block, unsigned thread) {
  if (name == "%tid.x") return thread;
  if (name == "%ntid.x") return launch.threads;
  if (name == "%ctaid.x") return block.at.x;
  if (name == "%ctaid.y") return block.at.y;
  if (name == "%ctaid.z") return block.at.z;
  if (name == "%nctaid.x") return launch.grid.x;
  if (name == "%nctaid.y") return launch.grid.y;
  if (name == "%nctaid.z") return launch.grid.z;
  if (name == "%laneid") return thread % lanes;
  if (name == "%cluster_ctarank") return block.rank;
  if (name == "%tid.y" || name == "%tid.z") return 0;
  if (name == "%ntid.y" || name == "%ntid.z") return 1;
  throw std::runtime_error(name + " is not known here");
}

/** Registers begin as NaN, or numbers that no program means. */
void begin(const Program &program, const Launch &launch, Block &block, Warp &warp) {
  warp.block = &block;
  warp.paths = {{0, allLanes}};
  warp.registers.assign(program.registerBytes, 0xff);
  warp.predicates.assign(static_cast<size_t>(program.predicates), 0);
  warp.predicates[1] = allLanes;
  warp.local.assign(program.localBytes * lanes, 0xff);
  for (const Constant &each : program.constants)
    for (unsigned lane = 0; lane < lanes; lane++) {
      if (each.width == Width::eight) warp.at<uint64_t>(each.slot)[lane] = each.bits;
      else if (each.width == Width::four) warp.at<uint32_t>(each.slot)[lane] = static_cast<uint32_t>(each.bits);
      else warp.at<uint16_t>(each.slot)[lane] = static_cast<uint16_t>(each.bits);
    }
  for (const Special &each : program.specials)
    for (unsigned lane = 0; lane < lanes; lane++) warp.at<uint32_t>(each.slot)[lane] = specialOf(each.name, launch, block, warp.index * lanes + lane);
}

std::unique_ptr<Block> beginBlock(const Launch &launch, Cluster &cluster, Index at, unsigned rank) {
  auto block = std::make_unique<Block>();
  block->launch = &launch, block->cluster = &cluster, block->at = at, block->rank = rank;
  block->shared.assign(launch.program->sharedBytes + launch.sharedBytes, 0xff);
  for (unsigned i = 0; i < launch.threads / lanes; i++) {
    block->warps.push_back(std::make_unique<Warp>());
    block->warps[i]->index = i;
    begin(*launch.program, launch, *block, *block->warps[i]);
  }
  cluster.warps += block->warps.size();
  return block;
}

bool advanceBlock(const Program &program, Block &block) {
  const size_t count = block.warps.size();
  bool isAlive = false;
  for (size_t i = 0; i < count; i++) {
    Warp &warp = *block.warps[block.at.x % 2 ? count - 1 - i : i];
    try {
      if (warp.alive) advance(program, warp);
    } catch (const std::runtime_error &error) {
      throw std::runtime_error(program.name + ", " + placeOf(program, block, warp) + ": " + error.what());
    }
    isAlive |= warp.alive != 0;
  }
  block.isEnded = !isAlive;
  return isAlive;
}

void runCluster(const Launch &launch, Cluster &cluster) {
  const Program &program = *launch.program;
  while (true) {
    const uint64_t before = cluster.moves;
    bool isAlive = false;
    for (const auto &block : cluster.blocks) isAlive |= !block->isEnded && advanceBlock(program, *block);
    if (!isAlive) return;
    if (cluster.moves == before) break;
  }
  std::string waiting;
  for (const auto &block : cluster.blocks)
    for (const auto &warp : block->warps)
      if (warp->alive && waiting.size() < 500) waiting += "; " + placeOf(program, *block, *warp);
  throw std::runtime_error(program.name + ": all threads wait, and nothing will come" + waiting);
}

}  // namespace

void run(const Launch &launch) {
  const Program &program = *launch.program;
  for (unsigned z = 0; z < launch.grid.z; z++)
    for (unsigned y = 0; y < launch.grid.y; y++)
      for (unsigned x = 0; x < launch.grid.x; x += program.cluster) {
        Cluster cluster;
        for (unsigned rank = 0; rank < program.cluster; rank++) cluster.blocks.push_back(beginBlock(launch, cluster, {x + rank, y, z}, rank));
        runCluster(launch, cluster);
      }
}

}  // namespace ptx
}  // namespace vwn
