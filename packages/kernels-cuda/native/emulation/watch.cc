#include "watch.h"

#if defined(VWN_WATCHED)
#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <new>
#include <vector>

#include "cuda.h"
#include "fibres.h"
#include "traffic.h"

namespace vwn {
namespace emulation {
namespace watch {
namespace {

constexpr size_t regionBytes = size_t{4} << 30, pageBytes = 4096;
/** The region begins with the cluster's shared memory: more than any block has, so that what it asks for behind that is seen. */
constexpr size_t sharedPart = size_t{1} << 20;
constexpr unsigned warp = 32;

/** Who reads or writes a byte, and when: how many barriers its block has passed, how often its warp has met. */
struct Access {
  uint64_t block : 20, thread : 10, barriers : 17, meetings : 17;
};

/** Of one byte, since the launch began (or the block, of shared memory). */
struct Cell {
  uint32_t generation;
  bool isWritten, isRead, isReadByWarp, isReadByOthers;
  /** A thread has asked for a copy to here that has not arrived. */
  bool isAwaited;
  /** How often its writer had called `fence`. */
  uint16_t fences;
  Access writer, reader, warpReader, otherReader; /* the last one, another of its warp, one of another warp */
};

/** How often a block has passed barriers, and how often it had behind the cluster's last one and the one before. */
struct Barriers {
  uint64_t passed = 0, behindLast = 0, behindEarlier = 0;
};
struct Launch {
  std::string kernel;
  size_t sharedBytes = 0;
  uint32_t ofLaunch = 0, ofCluster = 0; /* generations */
  Barriers barriers[mostOfCluster];
  std::vector<uint64_t> meetings, fences; /* of each thread of the cluster */
};
Launch launch;
unsigned rankOf(const Access &access) { return static_cast<unsigned>(access.block % running.cluster); }
/** A thread's number in its cluster. */
size_t threadOf(unsigned rank, unsigned thread) { return size_t{rank} * running.threads.x + thread; }
size_t threadNow() { return threadOf(running.rank, running.thread.x); }
uint32_t generations = 0;

char *reserve(size_t bytes) {
  void *data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) throw std::bad_alloc();
  return static_cast<char *>(data);
}
char *region() {
  static char *const only = reserve(regionBytes);
  return only;
}
Cell *cells() {
  static Cell *const only = reinterpret_cast<Cell *>(reserve(regionBytes * sizeof(Cell)));
  return only;
}

/** What is allocated, by where it begins in the region; and what is free again, by the pages that it takes. */
struct Memory {
  std::map<size_t, size_t> bytes;
  std::map<size_t, std::vector<size_t>> unused;
  size_t end = sharedPart;
};
Memory &memory() {
  static Memory only;
  return only;
}
/** With a page behind it that nobody has. */
size_t spanOf(size_t bytes) { return ((bytes + pageBytes - 1) / pageBytes + 1) * pageBytes; }

/** Where an address stands in the region; beyond it where it is the host's. */
size_t placeOf(const void *data) { return static_cast<size_t>(static_cast<const char *>(data) - region()); }

/** The block of memory that was asked of last is asked of again and again. */
struct Last {
  size_t first = 0, end = 0;
};
Last last;

bool isAllocated(size_t place, size_t bytes) {
  if (place < sharedPart) return place / sharedApart < running.cluster && place % sharedApart + bytes <= launch.sharedBytes;
  if (place >= last.first && place + bytes <= last.end) return true;
  auto after = memory().bytes.upper_bound(place);
  if (after == memory().bytes.begin()) return false;
  const auto &[first, size] = *--after;
  last = {first, first + size};
  return place + bytes <= last.end;
}

std::string text(const char *does, size_t place, size_t bytes) {
  const bool isShared = place < sharedPart;
  return "kernel " + launch.kernel + ": thread " + std::to_string(running.thread.x) + " of block " +
         std::to_string(running.block.x) + " " + does + " " + std::to_string(bytes) + " bytes of " +
         (isShared ? "shared memory at byte " + std::to_string(place % sharedApart) : "the device's memory") + " ";
}

Access self() {
  const unsigned block = running.block.x + running.blocks.x * (running.block.y + running.blocks.y * running.block.z);
  // Behind its arrival at the cluster's barrier what a thread does is not before that for others.
  const ClusterBarriers own = clusterBarriers();
  return {block, running.thread.x, launch.barriers[running.rank].passed + (own.arrivals > own.passed), launch.meetings[threadNow()]};
}

/** Whether a barrier of the cluster that the running thread has waited for is between it and another block's access. */
bool isBeforeCluster(const Access &other, const Access &now) {
  if (other.block / running.cluster != now.block / running.cluster) return false;
  const Barriers &of = launch.barriers[rankOf(other)];
  const ClusterBarriers own = clusterBarriers();
  return other.barriers < (own.waits < own.passed ? of.behindEarlier : of.behindLast);
}

/** Whether the other access is surely over: the thread's own, or before a barrier or a meeting of the warp. */
bool isBefore(const Access &other, const Access &now) {
  if (other.block != now.block) return isBeforeCluster(other, now);
  if (other.thread == now.thread || other.barriers != now.barriers) return true;
  return other.thread / warp == now.thread / warp && other.meetings != now.meetings;
}

[[noreturn]] void refuse(const char *does, size_t place, size_t bytes, const Access &other, const char *did) {
  stop(text(does, place, bytes) + "that thread " + std::to_string(other.thread) + " of block " + std::to_string(other.block) +
       " " + did + ", with nothing between that makes one wait for the other");
}

Cell &cellAt(size_t place) {
  Cell &cell = cells()[place];
  const uint32_t generation = place < sharedPart ? launch.ofCluster : launch.ofLaunch;
  if (cell.generation != generation) {
    cell = {};
    cell.generation = generation;
  }
  return cell;
}

uint16_t fencesOf(const Access &access) { return static_cast<uint16_t>(launch.fences[threadOf(rankOf(access), access.thread)]); }

void readCell(Cell &cell, const Access &now, size_t place, size_t bytes) {
  if (cell.isAwaited) stop(text("reads", place, bytes) + "that a copy may be writing");
  if (cell.isWritten && !isBefore(cell.writer, now)) refuse("reads", place, bytes, cell.writer, "writes");
  if (!cell.isRead && !cell.isWritten) traffic::countFirst(place >= sharedPart, false);
  // A thread may be sure of one reader and not of another.
  if (cell.isRead && (cell.reader.block != now.block || cell.reader.thread / warp != now.thread / warp)) {
    cell.otherReader = cell.reader;
    cell.isReadByOthers = true;
  } else if (cell.isRead && cell.reader.thread != now.thread) {
    cell.warpReader = cell.reader;
    cell.isReadByWarp = true;
  }
  cell.reader = now;
  cell.isRead = true;
}

void writeCell(Cell &cell, const Access &now, size_t place, size_t bytes) {
  if (cell.isAwaited) stop(text("writes", place, bytes) + "that a copy may be writing");
  if (cell.isWritten && !isBefore(cell.writer, now)) refuse("writes", place, bytes, cell.writer, "writes");
  if (cell.isRead && !isBefore(cell.reader, now)) refuse("writes", place, bytes, cell.reader, "reads");
  if (cell.isReadByWarp && !isBefore(cell.warpReader, now)) refuse("writes", place, bytes, cell.warpReader, "reads");
  if (cell.isReadByOthers && !isBefore(cell.otherReader, now)) refuse("writes", place, bytes, cell.otherReader, "reads");
  if (!cell.isWritten) traffic::countFirst(place >= sharedPart, true);
  cell.writer = now;
  cell.isWritten = true;
  cell.fences = fencesOf(now);
}

/** Whether they are of the region. Others are the host's: a thread's own, and what the emulation keeps for it. */
bool isOfDevice(size_t place, size_t bytes, bool isWrite, bool isAligned) {
  if (place >= regionBytes) return false;
  const char *does = isWrite ? "writes" : "reads";
  if (!isAllocated(place, bytes)) stop(text(does, place, bytes) + "that are not the kernel's");
  if (isAligned && place % bytes != 0) stop(text(does, place, bytes) + "that do not lie on as many");
  return true;
}

void access(const void *data, size_t bytes, bool isWrite, bool isAligned, const void *where) {
  const size_t place = placeOf(data);
  if (!isOfDevice(place, bytes, isWrite, isAligned)) return;
  if (where) traffic::note(place, bytes, isWrite, place < sharedPart, where);
  const Access now = self();
  for (size_t i = 0; i < bytes; i++)
    if (isWrite) writeCell(cellAt(place + i), now, place, bytes);
    else readCell(cellAt(place + i), now, place, bytes);
}

}  // namespace

void *allocate(size_t bytes) {
  Memory &all = memory();
  const size_t span = spanOf(bytes);
  auto &unused = all.unused[span];
  size_t place = all.end;
  if (!unused.empty()) place = unused.back(), unused.pop_back();
  else if (all.end + span > regionBytes) return nullptr;
  else all.end += span;
  all.bytes[place] = bytes;
  return region() + place;
}

void release(void *data) {
  if (!data) return;
  const size_t place = placeOf(data);
  const auto found = memory().bytes.find(place);
  memory().unused[spanOf(found->second)].push_back(place);
  memory().bytes.erase(found);
  last = {};
}

void *sharedRoom(size_t) { return region(); }

void beginLaunch(const std::string &kernel, size_t sharedBytes) {
  traffic::beginLaunch(kernel);
  launch = {kernel, sharedBytes, ++generations, 0, {}, {}, {}};
}

void beginCluster() {
  traffic::endCluster();
  launch.ofCluster = ++generations;
  for (Barriers &of : launch.barriers) of = {};
  launch.meetings.assign(size_t{running.threads.x} * running.cluster, 0);
  launch.fences.assign(size_t{running.threads.x} * running.cluster, 0);
}

void passBarrier(unsigned rank) { launch.barriers[rank].passed++; }
void passCluster() {
  for (Barriers &of : launch.barriers) of = {of.passed + 1, of.passed + 1, of.behindLast};
}
void passWarp() { launch.meetings[threadNow()]++; }

void ask(void *to, const void *from, size_t bytes, const void *where) {
  if (from) access(from, bytes, false, true, where);
  access(to, bytes, true, true, where);
  for (size_t i = 0; i < bytes; i++) cellAt(placeOf(to) + i).isAwaited = true;
}

void arrive(void *to, size_t bytes) {
  const Access now = self();
  for (size_t i = 0, place = placeOf(to); i < bytes; i++) {
    Cell &cell = cellAt(place + i);
    cell.isAwaited = false;
    writeCell(cell, now, place, bytes);
  }
}

void noteRead(const void *data, size_t bytes, const void *where) { access(data, bytes, false, true, where); }

void noteReadBehindFence(const void *data, size_t bytes, const void *where) {
  access(data, bytes, false, true, where);
  for (size_t i = 0, place = placeOf(data); i < bytes; i++) {
    const Cell &cell = cellAt(place + i);
    if (cell.isWritten && cell.fences == fencesOf(cell.writer))
      stop(text("multiplies", place, bytes) + "that thread " + std::to_string(cell.writer.thread) + " writes, without a fence for products");
  }
}
void fence() { launch.fences[threadNow()]++; }

}  // namespace watch

void readWhole(const void *at, void *to, size_t bytes, size_t alignment) {
  const auto *where = static_cast<const char *>(__builtin_return_address(0));
  for (size_t i = 0; i < bytes; i += alignment)
    watch::access(static_cast<const char *>(at) + i, alignment, false, true, where + i / alignment);
  std::memcpy(to, at, bytes);
}

void writeWhole(void *at, const void *from, size_t bytes, size_t alignment) {
  const auto *where = static_cast<const char *>(__builtin_return_address(0));
  for (size_t i = 0; i < bytes; i += alignment)
    watch::access(static_cast<char *>(at) + i, alignment, true, true, where + i / alignment);
  std::memcpy(at, from, bytes);
}

}  // namespace emulation
}  // namespace vwn

// What the compiler calls before each access of a kernel, of code made for a checker of races between threads.
#define VWN_HOOK(name, bytes, isWrite, isAligned)                                                                 \
  extern "C" void name(void *data) {                                                                              \
    vwn::emulation::watch::access(data, bytes, isWrite, isAligned, __builtin_return_address(0));                  \
  }
#define VWN_HOOKS(of, bytes, isAligned)                      \
  VWN_HOOK(__tsan_##of##read##bytes, bytes, false, isAligned) \
  VWN_HOOK(__tsan_##of##write##bytes, bytes, true, isAligned)
VWN_HOOKS(, 1, true)
VWN_HOOKS(, 2, true)
VWN_HOOKS(, 4, true)
VWN_HOOKS(, 8, true)
VWN_HOOKS(, 16, true)
VWN_HOOKS(unaligned_, 2, false)
VWN_HOOKS(unaligned_, 4, false)
VWN_HOOKS(unaligned_, 8, false)
VWN_HOOKS(unaligned_, 16, false)
// Volatile accesses may come from several threads at once: what `tell` of device.h is for.
#define VWN_VOLATILE_HOOK(name, bytes, isWrite)                                                  \
  extern "C" void name(void *data) {                                                             \
    using namespace vwn::emulation::watch;                                                       \
    isOfDevice(placeOf(data), bytes, isWrite, true);                                             \
  }
VWN_VOLATILE_HOOK(__tsan_volatile_read4, 4, false)
VWN_VOLATILE_HOOK(__tsan_volatile_write4, 4, true)
extern "C" {
void __tsan_read_range(void *data, size_t bytes) {
  vwn::emulation::watch::access(data, bytes, false, false, __builtin_return_address(0));
}
void __tsan_write_range(void *data, size_t bytes) {
  vwn::emulation::watch::access(data, bytes, true, false, __builtin_return_address(0));
}
void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void **, void *) {}
void __tsan_vptr_read(void **) {}
}
#endif
