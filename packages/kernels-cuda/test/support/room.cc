/**
 * How connection steps share out shared memory: for m, n, D and KiB of arguments, tokens and buffers forward and
 * backward, and the blocks that a multiprocessor has forward.
 */
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "device/connection-tile-shape.h"

int main(int, char **values) {
  using namespace vwn::cuda;
  const auto number = [&](int i) -> int64_t { return std::atoll(values[i]); };
  const int64_t m = number(1), bytes = number(4) << 10;
  const ConnectionShape s{m, number(2), number(3) / m, 1, 1e-6f, 1e-6f, 1, 1, 1, 1};
  const ConnectionTiles forward = tilesFor(s, bytes), backward = gradTilesFor(s, bytes);
  const int64_t blocks = forward.tokens > 0 ? blocksAtOnce(bytesOfTiles(s, forward), bytes) : 0;
  std::printf("%d %d %d %d %d\n", forward.tokens, forward.buffers, backward.tokens, backward.buffers, static_cast<int>(blocks));
}
