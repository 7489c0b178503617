#!/bin/sh
# On a machine with a GPU, from the folder that bench/gpu/bundle.mjs has packed: is it right, then how fast is it.
#   run.sh RESULTS    a folder for what comes out
set -eu
here=$(cd "$(dirname "$0")" && pwd)
results=${1:?a folder for the results is needed}
mkdir -p "$results"
export VWN_CUDA_ADDON="${VWN_CUDA_ADDON:-$here/vwn_cuda.node}"
cp "$here/commit.txt" "$results/"
if command -v nvidia-smi >/dev/null; then nvidia-smi -q >"$results/nvidia-smi.txt"; fi
if command -v compute-sanitizer >/dev/null; then
  compute-sanitizer --error-exitcode 1 "$here/node" "$here/check.mjs" >"$results/compute-sanitizer.txt"
fi
"$here/node" "$here/check.mjs" --out "$results/check.json"
for precision in fp32 bf16; do
  "$here/node" "$here/vwn.mjs" bench --backend vwn-cuda --precision "$precision" --peer torch ${BENCH_FLAGS:-} --out "$results/bench-$precision.json"
done
