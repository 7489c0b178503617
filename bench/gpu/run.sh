#!/bin/sh
# On a machine with a GPU, from the folder that bench/gpu/bundle.mjs has packed: is it right, then how fast is it.
#   run.sh RESULTS    a folder for what comes out
set -eu
here=$(cd "$(dirname "$0")" && pwd)
results=${1:?a folder for the results is needed}
mkdir -p "$results"
export VWN_CUDA_ADDON="${VWN_CUDA_ADDON:-$here/vwn_cuda.node}"
cp "$here/commit.txt" "$results/"
if command -v nvidia-smi >/dev/null; then
  nvidia-smi -q >"$results/nvidia-smi.txt"
  # Where PyTorch brings cuBLASLt, the loader does not find it.
  brought=$(find /usr /opt "${HOME:-/root}" -name 'libcublasLt.so.1[23]' 2>/dev/null | sort | tail -n 1)
  export VWN_CUBLASLT="${VWN_CUBLASLT:-$brought}"
fi
if command -v compute-sanitizer >/dev/null; then
  compute-sanitizer --error-exitcode 1 "$here/node" "$here/check.mjs" >"$results/compute-sanitizer.txt"
fi
"$here/node" "$here/check.mjs" --out "$results/check.json"
VWN_CUBLASLT=none "$here/node" "$here/check.mjs" --out "$results/check-own-products.json"
for precision in fp32 bf16; do
  "$here/node" "$here/vwn.mjs" bench --backend vwn-cuda --precision "$precision" --peer torch ${BENCH_FLAGS:-} --out "$results/bench-$precision.json"
done
