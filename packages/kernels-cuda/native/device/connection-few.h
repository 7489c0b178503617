/**
 * What both passes of a connection step with few slots are made of, m and n known when this is compiled. A block has one token
 * at a time, and each thread the same few columns of db of all slots, in registers. Sums over columns are made by the whole
 * block, all of a set at once, and arrive in lanes: lane i·columns + c of every warp has coefficient c of slot i, and the lanes
 * behind them the squares of each slot. What lanes make of them the others of the warp read in shared memory.
 */
#pragma once
#include "connection-few-shape.h"
#include "connection.h"
#include "warp-matrix.h"

namespace vwn {
namespace cuda {

constexpr unsigned allLanes = 0xffffffffu;

/** A shape: m, n, and a thread's columns of db; a lane for each coefficient of a set, and each slot's squares. */
template <int m_, int n_, int columns_>
struct Few {
  static constexpr int m = m_, n = n_, columns = columns_, ofWrite = n + m, ofRead = m;
  static_assert(n * (ofWrite + 1) <= warpSize_, "more sums than lanes");
};

/** What a thread has of a matrix: `rows` by its own columns. */
template <int rows, int columns>
struct Own {
  float at[rows][columns];
};

/** A row of them as it is stored: pairs of bf16. */
template <int columns>
struct alignas(2 * columns) Packed {
  uint32_t pairs[columns / 2];
};
template <int rows, int columns>
struct Stored {
  Packed<columns> at[rows];
};

/** A thread's own columns: from `first` on, or none. */
struct Place {
  int db, first;
  VWN_DEVICE bool isThere() const { return first < db; }
};

/** Rows of a token, zeros where a thread has none or `isWanted` is false. */
template <int rows, int columns>
VWN_DEVICE Stored<rows, columns> fetch(const bf16 *from, const Place &place, bool isWanted) {
  Stored<rows, columns> stored{};
  if (!isWanted || !place.isThere()) return stored;
#pragma unroll
  for (int i = 0; i < rows; i++) stored.at[i] = wholeAt<Packed<columns>>(from + i * place.db + place.first);
  return stored;
}

/** Rows on their way to shared memory, where each thread has a place of its own for each, and needs no barrier. */
template <int columns>
struct Staging {
  Packed<columns> *room;

  VWN_DEVICE Packed<columns> *at(int row) const { return room + row * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x); }
  /** Asks for `rows` of a token, to be the ones from `first` on; there after a commitCopies and an awaitCopies. */
  template <int rows>
  VWN_DEVICE void ask(const bf16 *from, const Place &place, int first) const {
    if (!place.isThere()) return;
#pragma unroll
    for (int i = 0; i < rows; i++) copyAsync<2 * columns>(at(first + i), from + i * place.db + place.first, true);
  }
  /** Zeros where they were not asked for. */
  template <int rows>
  VWN_DEVICE Stored<rows, columns> take(const Place &place, int first, bool isWanted) const {
    Stored<rows, columns> stored{};
    if (!isWanted || !place.isThere()) return stored;
#pragma unroll
    for (int i = 0; i < rows; i++) stored.at[i] = wholeAt<Packed<columns>>(at(first + i));
    return stored;
  }
};

template <int rows, int columns>
VWN_DEVICE Own<rows, columns> unpacked(const Stored<rows, columns> &stored) {
  Own<rows, columns> own;
#pragma unroll
  for (int i = 0; i < rows; i++)
#pragma unroll
    for (int k = 0; k < columns; k++) {
      const uint32_t pair = stored.at[i].pairs[k / 2];
      own.at[i][k] = k % 2 ? upperOf(pair) : lowerOf(pair);
    }
  return own;
}
template <int rows, int columns>
VWN_DEVICE Stored<rows, columns> packedRows(const Own<rows, columns> &own) {
  Stored<rows, columns> stored;
#pragma unroll
  for (int i = 0; i < rows; i++)
#pragma unroll
    for (int k = 0; k < columns; k += 2) stored.at[i].pairs[k / 2] = packed(own.at[i][k], own.at[i][k + 1]);
  return stored;
}
template <int rows, int columns>
VWN_DEVICE void store(const Stored<rows, columns> &stored, const Place &place, bf16 *to) {
  if (!place.isThere()) return;
#pragma unroll
  for (int i = 0; i < rows; i++) putWhole(to + i * place.db + place.first, stored.at[i]);
}

/** A thread's columns of some rows of floats, [·, db], from row `first` on; zeros where it has none. */
template <int columns>
struct alignas(16) Floats {
  float values[columns];
};
template <int rows, int columns>
VWN_DEVICE Own<rows, columns> floatsOf(const float *from, int first, const Place &place) {
  Own<rows, columns> own{};
  if (!place.isThere()) return own;
#pragma unroll
  for (int i = 0; i < rows; i++) {
    const auto row = wholeAt<Floats<columns>>(from + (first + i) * place.db + place.first);
#pragma unroll
    for (int k = 0; k < columns; k++) own.at[i][k] = row.values[k];
  }
  return own;
}

/** A thread's columns of rows of floats to where they stand in [rows, db]. */
template <int rows, int columns>
VWN_DEVICE void putRows(const Own<rows, columns> &own, const Place &place, float *to) {
  if (!place.isThere()) return;
#pragma unroll
  for (int i = 0; i < rows; i++) {
    Floats<columns> row;
#pragma unroll
    for (int k = 0; k < columns; k++) row.values[k] = own.at[i][k];
    putWhole(to + i * place.db + place.first, row);
  }
}

template <int columns>
VWN_DEVICE float dot(const float (&a)[columns], const float (&b)[columns]) {
  float sum = 0;
#pragma unroll
  for (int k = 0; k < columns; k++) sum += a[k] * b[k];
  return sum;
}
template <int columns>
VWN_DEVICE void addScaled(float (&to)[columns], float by, const float (&row)[columns]) {
#pragma unroll
  for (int k = 0; k < columns; k++) to[k] += by * row[k];
}

/** The smallest power of two that is not less. */
template <int count>
constexpr int powerFrom = 2 * powerFrom<(count + 1) / 2>;
template <>
constexpr int powerFrom<1> = 1;

/**
 * Sums over a block. Two rooms take turns: who writes into one knows by the barrier between that all have read it. In place of
 * warps that a block does not have there are zeros, from its first barrier on.
 */
class BlockSums {
 public:
  VWN_DEVICE explicit BlockSums(float *room) : room_(room) {
    for (int i = static_cast<int>(threadIdx.x); i < 2 * fewThreads; i += static_cast<int>(blockDim.x)) room[i] = 0;
  }

  /** Lane l of every warp gets the sum of the `count` values of index l % power of two; values are used up. */
  template <int count>
  VWN_DEVICE float operator()(float (&values)[count]) {
    constexpr int width = powerFrom<count>;
    static_assert(width <= warpSize_, "more sums than lanes");
    const int lane = static_cast<int>(threadIdx.x) % warpSize_;
    float own[width];
#pragma unroll
    for (int i = 0; i < width; i++) own[i] = i < count ? values[i] : 0.0f;
    // Each step halves what a lane has left to add up, until that is one value.
#pragma unroll
    for (int step = warpSize_ / 2, left = width; step > 0; step /= 2) {
      if (step >= width) {
#pragma unroll
        for (int i = 0; i < count; i++) own[i] += __shfl_xor_sync(allLanes, own[i], step);
        continue;
      }
      left /= 2;
      const bool isUpper = lane & step;
#pragma unroll
      for (int i = 0; i < width / 2; i++) {
        if (i >= left) break;
        const float mine = isUpper ? own[i + left] : own[i], others = isUpper ? own[i] : own[i + left];
        own[i] = mine + __shfl_xor_sync(allLanes, others, step);
      }
    }
    static_assert(fewThreads == 8 * warpSize_);
    float *room = room_ + turn_ * fewThreads;
    turn_ = 1 - turn_;
    room[threadIdx.x] = own[0];
    __syncthreads();
    const int warps = warpsOfBlock();
    float sum = 0;
    const auto add = [&](int from, int to) {
#pragma unroll
      for (int warp = from; warp < to; warp++) sum += room[warp * warpSize_ + lane];
    };
    add(0, 1);
    if (warps > 1) add(1, 2);
    if (warps > 2) add(2, 4);
    if (warps > 4) add(4, 8);
    return sum;
  }

 private:
  float *room_;
  int turn_ = 0;
};

/** The coefficient of a set that a lane has in all tokens; lanes without one have that of lane 0. */
struct LaneOfSet {
  int slot;
  float offset, scale;
};
template <int n>
VWN_DEVICE LaneOfSet laneOfSet(const ConnectionShape &s, const CoefficientSet &set) {
  const int columns = static_cast<int>(set.columns), lane = static_cast<int>(threadIdx.x) % warpSize_;
  const int at = lane < n * columns ? lane : 0, slot = at / columns;
  const Column column = columnOf(s, set, at % columns);
  const int64_t place = slot * column.stride + column.at;
  return {slot, column.offset[place], column.scale[place]};
}

/** What a lane makes of its sums, eqs. 11–14: alpha = S·tanh(product·reciprocal) + static. */
struct Coefficient {
  float product, reciprocal, activation, alpha;
};

/** A thread's part of `state` by W, [columns, db] in shared memory, and of its squares, to `values` from `first` on. */
template <int n, int columnsOfSet, int columns, int count>
VWN_DEVICE void putProducts(const Own<n, columns> &state, const float *weights, const Place &place, int first, float (&values)[count]) {
#pragma unroll
  for (int c = 0; c < columnsOfSet; c++) {
    const Own<1, columns> row = floatsOf<1, columns>(weights, c, place);
#pragma unroll
    for (int i = 0; i < n; i++) values[first + i * columnsOfSet + c] = dot(state.at[i], row.at[0]);
  }
#pragma unroll
  for (int i = 0; i < n; i++) values[first + n * columnsOfSet + i] = dot(state.at[i], state.at[i]);
}
/** Each lane's coefficient, of the block's sums of these, one in each lane. */
template <int n, int columnsOfSet>
VWN_DEVICE Coefficient coefficientOf(const ConnectionShape &s, const LaneOfSet &lane, float sum) {
  const float squares = __shfl_sync(allLanes, sum, n * columnsOfSet + lane.slot);
  const float reciprocal = rsqrtf(squares / static_cast<float>(s.db) + s.eps), t = shortTanh(sum * reciprocal);
  return {sum, reciprocal, t, t * lane.scale + lane.offset};
}
/** Both, for one set. */
template <int n, int columnsOfSet, int columns>
VWN_DEVICE Coefficient evaluate(const ConnectionShape &s, const LaneOfSet &lane, const Own<n, columns> &state, const float *weights,
                                const Place &place, BlockSums &sums) {
  float values[n * (columnsOfSet + 1)];
  putProducts<n, columnsOfSet>(state, weights, place, 0, values);
  return coefficientOf<n, columnsOfSet>(s, lane, sums(values));
}

/** What all lanes of a warp have, in room `index` of six: for a set [n, columns]. Rooms are free again behind a block's barrier. */
VWN_DEVICE const float *shown(float *rooms, int index, float value) {
  float *room = rooms + index * fewThreads + static_cast<int>(threadIdx.x) / warpSize_ * warpSize_;
  room[threadIdx.x % warpSize_] = value;
  __syncwarp();
  return room;
}

/** What was read: A°ᵀ·state. */
template <int m, int n, int columns>
VWN_DEVICE Own<m, columns> readOf(const float *alpha, const Own<n, columns> &state) {
  Own<m, columns> read{};
#pragma unroll
  for (int c = 0; c < m; c++)
#pragma unroll
    for (int i = 0; i < n; i++) addScaled(read.at[c], alpha[i * m + c], state.at[i]);
  return read;
}

/** W of a set as [columns, db] to shared memory, with what the norm and the scaling of eqs. 11–14 multiply it by. */
template <int columns>
VWN_DEVICE void foldWeights(const ConnectionShape &s, const CoefficientSet &set, float *to) {
  const int db = static_cast<int>(s.db);
  const float root = 1.0f / sqrtf(static_cast<float>(db));
  const float *norm = set.parameters.normWeight;
#pragma unroll 8
  for (int at = static_cast<int>(threadIdx.x); at < columns * db; at += static_cast<int>(blockDim.x)) {
    const int c = at % columns, d = at / columns;
    to[c * db + d] = foldedWeight(columnOf(s, set, c), norm, d, root);
  }
}

}  // namespace cuda
}  // namespace vwn
