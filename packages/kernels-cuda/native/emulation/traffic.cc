#include "traffic.h"

#if defined(VWN_WATCHED)
#include <dlfcn.h>

#include <algorithm>
#include <bit>
#include <compare>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "cuda.h"

namespace vwn {
namespace emulation {
namespace traffic {
namespace {

constexpr size_t sectorBytes = 32, wordBytes = 4, banks = 32, phaseBytes = 128;
constexpr unsigned warp = 32;

/** What makes an access: a copy to shared memory is two, of one instruction. */
struct Instruction {
  const void *where;
  bool isWrite, isShared;
  auto operator<=>(const Instruction &) const = default;
};
/** Of one instruction of a kernel. */
struct Counts {
  uint64_t instructions = 0; /* of warps */
  uint64_t units = 0;        /* sectors of the device's memory, or turns of shared memory */
  uint64_t least = 0;        /* bytes of the device's memory, or turns without conflicts of banks */
};
struct OfKernel {
  uint64_t launches = 0, bytesRead = 0, bytesWritten = 0; /* each byte once a launch */
  std::map<Instruction, Counts> instructions;
};
std::map<std::string, OfKernel> kernels;
OfKernel *current = nullptr;

/** What threads of a warp have asked for by the same instruction, the same time around. */
struct Together {
  size_t bytes;
  std::map<unsigned, size_t> places; /* by lanes */
};
std::map<std::pair<unsigned, Instruction>, std::vector<Together>> ofWarps;
/** How often each thread has come by each instruction. */
std::map<std::pair<unsigned, Instruction>, size_t> rounds;

void addSectors(const Together &together, Counts &counts) {
  std::map<size_t, uint32_t> sectors;
  for (const auto &[lane, place] : together.places)
    for (size_t i = place; i < place + together.bytes; i++) sectors[i / sectorBytes] |= 1u << (i % sectorBytes);
  counts.units += sectors.size();
  for (const auto &[sector, bytes] : sectors) counts.least += static_cast<uint64_t>(std::popcount(bytes));
}

/** Lanes are served as many at once as 128 bytes allow; of a bank, one word at a time. */
void addTurns(const Together &together, Counts &counts) {
  const auto atOnce = static_cast<unsigned>(std::clamp(phaseBytes / std::max(together.bytes, wordBytes), size_t{1}, size_t{warp}));
  for (unsigned first = 0; first < warp; first += atOnce) {
    std::set<size_t> words;
    const auto begin = together.places.lower_bound(first), end = together.places.lower_bound(first + atOnce);
    for (auto each = begin; each != end; ++each)
      for (size_t at = each->second / wordBytes; at * wordBytes < each->second + together.bytes; at++) words.insert(at);
    uint64_t ofBank[banks] = {};
    for (const size_t word : words) ofBank[word % banks]++;
    counts.units += *std::max_element(ofBank, ofBank + banks);
    counts.least += (words.size() + banks - 1) / banks;
  }
}

void print(std::FILE *to) {
  std::fprintf(to, "[");
  const char *comma = "";
  for (const auto &[name, of] : kernels) {
    std::fprintf(to, "%s\n{\"kernel\":\"%s\",\"launches\":%llu,\"bytesRead\":%llu,\"bytesWritten\":%llu,\"instructions\":[", comma,
                 name.c_str(), (unsigned long long)of.launches, (unsigned long long)of.bytesRead, (unsigned long long)of.bytesWritten);
    comma = "";
    for (const auto &[by, counts] : of.instructions) {
      Dl_info info{};
      dladdr(by.where, &info);
      std::fprintf(to, "%s\n {\"at\":%td,\"isWrite\":%d,\"isShared\":%d,\"instructions\":%llu,\"units\":%llu,\"least\":%llu}", comma,
                   static_cast<const char *>(by.where) - static_cast<const char *>(info.dli_fbase), by.isWrite, by.isShared,
                   (unsigned long long)counts.instructions, (unsigned long long)counts.units, (unsigned long long)counts.least);
      comma = ",";
    }
    std::fprintf(to, "]}");
    comma = ",";
  }
  std::fprintf(to, "\n]\n");
}

/** Written when the library is unloaded. */
struct Report {
  const char *path = std::getenv("VWN_WATCH_REPORT");
  ~Report() {
    if (!path) return;
    endCluster();
    std::FILE *to = std::fopen(path, "w");
    if (to) {
      print(to);
      std::fclose(to);
    } else {
      std::fprintf(stderr, "vwn-cuda: cannot write %s, which VWN_WATCH_REPORT names\n", path);
    }
  }
};
Report report;

}  // namespace

void beginLaunch(const std::string &kernel) {
  if (!report.path) return;
  endCluster();
  current = &kernels[kernel];
  current->launches++;
}

void endCluster() {
  for (const auto &[key, all] : ofWarps)
    for (const Together &together : all) {
      Counts &counts = current->instructions[key.second];
      counts.instructions++;
      if (key.second.isShared) addTurns(together, counts);
      else addSectors(together, counts);
    }
  ofWarps.clear();
  rounds.clear();
}

void note(size_t place, size_t bytes, bool isWrite, bool isShared, const void *where) {
  if (!report.path) return;
  const unsigned thread = running.rank * running.threads.x + running.thread.x;
  const Instruction by{where, isWrite, isShared};
  const size_t round = rounds[{thread, by}]++;
  std::vector<Together> &all = ofWarps[{thread / warp, by}];
  if (all.size() <= round) all.resize(round + 1, Together{bytes, {}});
  all[round].places[thread % warp] = place;
}

void countFirst(bool isOfDevice, bool isWrite) {
  if (!report.path || !isOfDevice) return;
  (isWrite ? current->bytesWritten : current->bytesRead)++;
}

}  // namespace traffic
}  // namespace emulation
}  // namespace vwn
#endif
