/**
 * Products of matrices of bf16 by the 128 threads of a warpgroup, with sums in float32 (wgmma.m64nNk16): compute capability 9.0
 * and no other. Of [64, 8·tiles] sums warp w of the four has rows from 16w on, sums[j] their columns from 8j on, and each lane
 * of these what warp-matrix.h says. A left factor [64, 16] is in registers, as there, or in shared memory, where right
 * factors [16, 8·tiles] always are.
 *
 * A matrix in shared memory is cut into slabs of 64 columns, which begin on 1024 bytes: a row of a slab has 128 bytes, whose
 * chunks of 16 change places by the row, so that neither 8 rows of a chunk nor 8 chunks of a row meet in a bank.
 *
 * Products are made while the threads go on. Every warp of a group must take part in: beginProducts, multiplyGroup …,
 * commitProducts; until awaitProducts nobody may touch the sums or a factor's registers, or write what is read. A warp that has waited
 * knows of its own rows only: before what products have read is written, all must have waited. What threads have written for them to read, copies
 * included, needs each writer's fenceForProducts and then a barrier.
 */
#pragma once
#include "warp-matrix.h"
#include "warpgroup-shape.h"

/** For other GPUs than those of compute capability 9.0 a kernel by warpgroups is compiled with nothing in it. */
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define VWN_HAS_WARPGROUPS 1
#define VWN_BODY_BY_WARPGROUPS(...) { __VA_ARGS__; }
#else
#define VWN_BODY_BY_WARPGROUPS(...) {}
#endif
#if defined(__CUDACC__)
#define VWN_SHARED_SLABS(name)                         \
  extern __shared__ __align__(1024) char vwnSlabs[]; \
  ::vwn::cuda::bf16 *name = reinterpret_cast<::vwn::cuda::bf16 *>(vwnSlabs)
#else
#define VWN_SHARED_SLABS(name) VWN_SHARED(::vwn::cuda::bf16, name)
#endif

#if defined(VWN_HAS_WARPGROUPS)
namespace vwn {
namespace cuda {

constexpr int slabBytes = 1024;

/** By a shuffle, so that the compiler knows it for the same in all lanes: products in branches that it takes for divergent wait. */
VWN_DEVICE int groupOfBlock() { return __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x) / groupThreads, 0); }

/** Where an element of a slab stands. Unsigned, since a division of what may be negative takes more instructions. */
VWN_DEVICE int placeInSlab(unsigned row, unsigned column) {
  return static_cast<int>(row * slabColumns + ((column / 8 ^ row % 8) * 8 | column % 8));
}
/** Where the j-th eight columns of a row of a slab stand, of which the first stand at `place`: chunks change places by an exclusive or. */
VWN_DEVICE int eightOn(int place, int j) { return place ^ j * 8; }
/** Where one of a matrix stands whose slabs have `rows` rows. */
VWN_DEVICE int placeInSlabs(unsigned rows, unsigned row, unsigned column) {
  return static_cast<int>(column / slabColumns * rows * slabColumns) + placeInSlab(row, column % slabColumns);
}

/** A warp's 16 rows, from `row` on, and 16 columns of a matrix whose slabs have `rows` rows, as warp-matrix.h has left factors. */
VWN_DEVICE Left leftOfSlabs(const bf16 *slabs, int rows, int row, int column) {
  Left left;
  loadFour(slabs + placeInSlabs(rows, row + laneOfWarp() % 16, column + laneOfWarp() / 16 * 8), left.words);
  return left;
}

/** As leftOfSlabs, of the transpose: 16 columns are the warp's rows. */
VWN_DEVICE Left leftOfSlabsTransposed(const bf16 *slabs, int rows, int row, int column) {
  Left left;
  const int lane = laneOfWarp();
  loadFourTransposed(slabs + placeInSlabs(rows, row + lane / 16 * 8 + lane % 8, column + lane / 8 % 2 * 8), left.words);
  return left;
}
/** Two right factors, of which slabs have 16 rows and 16 columns, as warp-matrix.h has them. */
VWN_DEVICE void rightsOfSlabs(const bf16 *slabs, int rows, int row, int column, int lane, Right (&rights)[2]) {
  uint32_t words[4];
  loadFourTransposed(slabs + placeInSlabs(rows, row + lane % 16, column + lane / 16 * 8), words);
  rights[0] = {words[0], words[1]};
  rights[1] = {words[2], words[3]};
}

/**
 * A factor in shared memory, as wgmma's descriptor: its rows are rows of a slab, or its columns are. In two halves, so that another
 * place in the same matrix is one sum of 32 bits away.
 */
template <bool isTransposed>
struct Factor {
  uint32_t place, layout;

  /** What lies so many elements on, of 8 each. */
  VWN_DEVICE Factor operator+(int elements) const { return {place + static_cast<uint32_t>(elements / 8), layout}; }
  VWN_DEVICE uint64_t descriptor() const { return static_cast<uint64_t>(layout) << 32 | place; }
};
using RowsFactor = Factor<false>;
using ColumnsFactor = Factor<true>;

#if defined(__CUDACC__)
VWN_DEVICE uint32_t placeOfFactor(const bf16 *at) { return sharedAddress(at); }
#else
VWN_DEVICE uint32_t placeOfFactor(const bf16 *at) { return static_cast<uint32_t>(emulation::placeInShared(at)); }
#endif
/** Bytes from 8 rows to the next 8 are those of 8 rows; `apart`: from a slab to the next. Chunks change places by 128 bytes. */
template <bool isTransposed>
VWN_DEVICE Factor<isTransposed> factorAt(const bf16 *at, int apart) {
  return {placeOfFactor(at) >> 4 | static_cast<uint32_t>(apart) >> 4 << 16, slabBytes >> 4 | 1u << 30};
}
/**
 * A left factor [64, 16], or the transpose of a right one [16, 8·tiles]: rows of a slab, from a multiple of 8 on, and 16 of
 * its columns, of which the first is `at`, in the row's first chunk or the third, fifth or seventh as if none had changed places.
 */
VWN_DEVICE RowsFactor factorOfRows(const bf16 *at) { return factorAt<false>(at, 16); }
/**
 * A right factor [16, 8·tiles], or the transpose of a left one: 16 rows of slabs, from a multiple of 8 on, whose first is at `at`;
 * columns are those of whole slabs, which are `apart` elements from each other. (Parts of a slab no known program asks for.)
 */
VWN_DEVICE ColumnsFactor factorOfColumns(const bf16 *at, int apart) {
  return factorAt<true>(at, apart * static_cast<int>(sizeof(bf16)));
}

#if defined(__CUDACC__)

VWN_DEVICE void beginProducts() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
VWN_DEVICE void commitProducts() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/**
 * Waits for products but for the last `pending` groups of them. `side` tells waits on the two sides of a branch apart, which the compiler
 * would make one before the branch.
 */
template <int pending, int side = 0>
VWN_DEVICE void awaitProducts() {
  asm volatile("wgmma.wait_group.sync.aligned %0; // %1" ::"n"(pending), "n"(side) : "memory");
}
/**
 * Waits for all products, behind the arithmetic that is to be done meanwhile, and whose results holdSums or holdFactors holds: ptxas moves
 * a plain wait up past arithmetic, but none past a branch. So there is one, by any number, `size`, that is never negative and that the
 * compiler knows nothing of.
 */
VWN_DEVICE void awaitProductsLast(int64_t size) {
  if (size >= 0) awaitProducts<0>();
  else awaitProducts<0, 1>();
}
VWN_DEVICE void fenceForProducts() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
/** Nothing that is done with these sums moves to the other side of this. */
template <int tiles>
VWN_DEVICE void holdSums(Sum (&sums)[tiles]) {
#pragma unroll
  for (int j = 0; j < tiles; j++)
#pragma unroll
    for (int i = 0; i < 4; i++) asm volatile("" : "+f"(sums[j].values[i])::"memory");
}
/** As holdSums, of left factors: they are there before products of them begin, and are not made among these. */
template <int depth>
VWN_DEVICE void holdFactors(Left (&factors)[depth]) {
#pragma unroll
  for (int k = 0; k < depth; k++)
#pragma unroll
    for (int i = 0; i < 4; i++) asm volatile("" : "+r"(factors[k].words[i])::"memory");
}

/** The same numbers in other registers, which may be read while products of the first ones are made. */
template <int depth>
VWN_DEVICE void copyFactors(const Left (&factors)[depth], Left (&to)[depth]) {
#pragma unroll
  for (int k = 0; k < depth; k++)
#pragma unroll
    for (int i = 0; i < 4; i++) asm volatile("mov.b32 %0, %1;" : "=r"(to[k].words[i]) : "r"(factors[k].words[i]));
}

template <int tiles>
struct GroupProduct;

#define VWN_SUM(j) "+f"(s[j].values[0]), "+f"(s[j].values[1]), "+f"(s[j].values[2]), "+f"(s[j].values[3])
#define VWN_SUMS_1 VWN_SUM(0)
#define VWN_SUMS_4 VWN_SUMS_1, VWN_SUM(1), VWN_SUM(2), VWN_SUM(3)
#define VWN_SUMS_5 VWN_SUMS_4, VWN_SUM(4)
#define VWN_SUMS_8 VWN_SUMS_5, VWN_SUM(5), VWN_SUM(6), VWN_SUM(7)
#define VWN_SUMS_9 VWN_SUMS_8, VWN_SUM(8)
#define VWN_SUMS_16 \
  VWN_SUMS_9, VWN_SUM(9), VWN_SUM(10), VWN_SUM(11), VWN_SUM(12), VWN_SUM(13), VWN_SUM(14), VWN_SUM(15)
#define VWN_NAMES_1 "%0,%1,%2,%3"
#define VWN_NAMES_4 VWN_NAMES_1 ",%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define VWN_NAMES_5 VWN_NAMES_4 ",%16,%17,%18,%19"
#define VWN_NAMES_8 VWN_NAMES_5 ",%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define VWN_NAMES_9 VWN_NAMES_8 ",%32,%33,%34,%35"
#define VWN_NAMES_16                                                                                           \
  VWN_NAMES_9 ",%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58," \
              "%59,%60,%61,%62,%63"
/** Of the operands behind the sums: o0 …, their numbers. */
#define VWN_GROUP_PRODUCT(tiles, columns, o0, o1, o2, o3, o4, o5, o6)                                                        \
  template <>                                                                                                                \
  struct GroupProduct<tiles> {                                                                                               \
    template <bool ofA, bool ofB>                                                                                            \
    VWN_DEVICE static void add(Sum (&s)[tiles], Factor<ofA> a, Factor<ofB> b, bool adds) {                                   \
      asm volatile("{.reg .pred adds; setp.ne.b32 adds, " o2 ", 0; wgmma.mma_async.sync.aligned.m64n" columns                \
                   "k16.f32.bf16.bf16 {" VWN_NAMES_##tiles "}, " o0 ", " o1 ", adds, 1, 1, " o3 ", " o4 ";}"                 \
                   : VWN_SUMS_##tiles                                                                                        \
                   : "l"(a.descriptor()), "l"(b.descriptor()), "r"(static_cast<int>(adds)), "n"(ofA), "n"(ofB)                   \
                   : "memory");                                                                                              \
    }                                                                                                                        \
    template <bool ofB>                                                                                                      \
    VWN_DEVICE static void add(Sum (&s)[tiles], const Left &a, Factor<ofB> b, bool adds) {                                   \
      asm volatile("{.reg .pred adds; setp.ne.b32 adds, " o5 ", 0; wgmma.mma_async.sync.aligned.m64n" columns                \
                   "k16.f32.bf16.bf16 {" VWN_NAMES_##tiles "}, {" o0 "," o1 "," o2 "," o3 "}, " o4 ", adds, 1, 1, " o6 ";}"  \
                   : VWN_SUMS_##tiles                                                                                        \
                   : "r"(a.words[0]), "r"(a.words[1]), "r"(a.words[2]), "r"(a.words[3]), "l"(b.descriptor()),                  \
                     "r"(static_cast<int>(adds)), "n"(ofB)                                                                   \
                   : "memory");                                                                                              \
    }                                                                                                                        \
  };
VWN_GROUP_PRODUCT(1, "8", "%4", "%5", "%6", "%7", "%8", "%9", "%10")
VWN_GROUP_PRODUCT(4, "32", "%16", "%17", "%18", "%19", "%20", "%21", "%22")
VWN_GROUP_PRODUCT(5, "40", "%20", "%21", "%22", "%23", "%24", "%25", "%26")
VWN_GROUP_PRODUCT(8, "64", "%32", "%33", "%34", "%35", "%36", "%37", "%38")
VWN_GROUP_PRODUCT(9, "72", "%36", "%37", "%38", "%39", "%40", "%41", "%42")
VWN_GROUP_PRODUCT(16, "128", "%64", "%65", "%66", "%67", "%68", "%69", "%70")

/** sums = or += a·b, over 16. */
template <int tiles, class A, bool ofB>
VWN_DEVICE void multiplyGroup(Sum (&sums)[tiles], const A &a, Factor<ofB> b, bool adds) {
  GroupProduct<tiles>::add(sums, a, b, adds);
}

#else

VWN_DEVICE void beginProducts() { emulation::beginProducts(); }
VWN_DEVICE void commitProducts() { emulation::commitProducts(); }
template <int pending, int side = 0>
VWN_DEVICE void awaitProducts() {
  emulation::awaitProducts(pending);
}
VWN_DEVICE void awaitProductsLast(int64_t) { awaitProducts<0>(); }
VWN_DEVICE void fenceForProducts() { emulation::fenceForProducts(); }
template <int tiles>
VWN_DEVICE void holdSums(Sum (&)[tiles]) {}
template <int depth>
VWN_DEVICE void holdFactors(Left (&)[depth]) {}
template <int depth>
VWN_DEVICE void copyFactors(const Left (&factors)[depth], Left (&to)[depth]) {
  for (int k = 0; k < depth; k++) to[k] = factors[k];
}
template <int tiles, bool ofA, bool ofB>
VWN_DEVICE void multiplyGroup(Sum (&sums)[tiles], Factor<ofA> a, Factor<ofB> b, bool adds) {
  emulation::multiplyLater(sums[0].values, 8 * tiles, nullptr, {a.descriptor(), ofA}, {b.descriptor(), ofB}, adds);
}
template <int tiles, bool ofB>
VWN_DEVICE void multiplyGroup(Sum (&sums)[tiles], const Left &a, Factor<ofB> b, bool adds) {
  emulation::multiplyLater(sums[0].values, 8 * tiles, a.words, {}, {b.descriptor(), ofB}, adds);
}

#endif

}  // namespace cuda
}  // namespace vwn
#endif
