/**
 * How connection steps share out shared memory: for m, n, D and KiB of arguments, tokens and buffers forward and
 * backward, and the blocks that a multiprocessor has forward; by warpgroups, slabs of a token, those that are held at once forward, the
 * blocks of a multiprocessor, and those that share a token backward, without clusters and with them.
 */
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "device/hopper-connection-shape.h"

int main(int, char **values) {
  using namespace vwn::cuda;
  const auto number = [&](int i) -> int64_t { return std::atoll(values[i]); };
  const int64_t m = number(1), bytes = number(4) << 10;
  const ConnectionShape s{m, number(2), number(3) / m, 1, 1e-6f, 1e-6f, 1, 1, 1, 1};
  const ConnectionTiles forward = tilesFor(s, bytes), backward = gradTilesFor(s, bytes);
  const int64_t blocks = forward.tokens > 0 ? blocksAtOnce(bytesOfTiles(s, forward), bytes) : 0;
  const int64_t ring = takesWarpgroups(s) ? ringOfHopper(s, bytes) : 0;
  const int64_t hopperBlocks = ring > 0 ? blocksOfHopper(s, ring, bytes) : 0;
  const auto share = [&](bool hasClusters) { return takesWarpgroups(s) ? hopperGradShare(s, bytes, hasClusters).blocks : 0; };
  const int64_t numbers[] = {forward.tokens, forward.buffers, backward.tokens, backward.buffers, blocks,
                             slabsOfHopper(s), ring, hopperBlocks, share(false), share(true)};
  for (const int64_t each : numbers) std::printf("%d ", static_cast<int>(each));
}
