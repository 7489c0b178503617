#!/bin/sh
# On a machine with a GPU, from the folder that bench/gpu/bundle.mjs has packed: is it right, then how fast is it.
#   run.sh RESULTS    a folder for what comes out; ends with 1 where a check failed, after everything has run
# PEER: the PyTorch model to compare whole training steps with, and single operations with PyTorch’s own. NVCC: what compiles the
# program that times cuBLASLt’s products, if not the nvcc that is found. STEPS: which of the steps below, instead of all; TESTS:
# which tests. CHECK_FLAGS, KERNELS_FLAGS, TRAINING_FLAGS, BENCH_FLAGS: more flags of the programs.
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

failed=
# step NAME COMMAND…: what the command prints goes to RESULTS/NAME.txt, its end to the terminal.
step() {
  name=$1
  shift
  case " ${STEPS:-$name} " in *" $name "*) ;; *) return 0 ;; esac
  echo "== $name"
  "$@" >"$results/$name.txt" 2>&1 || failed="$failed $name"
  tail -n 12 "$results/$name.txt"
}
run_test() {
  VWN_TEST_BACKENDS=vwn-cuda VWN_CPU_ADDON="$here/vwn_cpu.node" \
    "$here/node" --test --test-reporter=spec "$here/tests/$1.test.mjs"
}
tests() {
  for name in ${TESTS:-$(cd "$here/tests" && ls ./*.test.mjs)}; do
    name=$(basename "$name" .test.mjs)
    step "test-$name" run_test "$name"
  done
}
# On compute capability 9.0 the kernels of other GPUs, to compare with those by warpgroups.
without_warpgroups() {
  (export VWN_CUDA_WARPGROUPS=0 && "$@")
}
tests_without_warpgroups() {
  for name in attention connection-step; do
    case " ${TESTS:-$name} " in
      *" $name "*) step "test-$name-without-warpgroups" without_warpgroups run_test "$name" ;;
    esac
  done
}

# shellcheck disable=SC2086
check() {
  "$here/node" "$here/check.mjs" ${CHECK_FLAGS:-} "$@"
}
check_own_products() {
  VWN_CUBLASLT=none check --out "$results/check-own-products.json"
}
step check check --out "$results/check.json"
step check-own-products check_own_products
tests
tests_without_warpgroups
if command -v compute-sanitizer >/dev/null; then
  step compute-sanitizer compute-sanitizer --error-exitcode 1 "$here/node" "$here/check.mjs" --steps 3
fi
# shellcheck disable=SC2086
step kernels "$here/node" "$here/kernels.mjs" ${PEER:+--peer "$here/torch_kernels.py"} \
  --cublaslt "$here/cublaslt-peer.cc" ${KERNELS_FLAGS:-} --out "$results/kernels.json"
# shellcheck disable=SC2086
step kernels-without-warpgroups without_warpgroups "$here/node" "$here/kernels.mjs" ${KERNELS_FLAGS:-} \
  --op attention,connection --out "$results/kernels-without-warpgroups.json"
# shellcheck disable=SC2086
step training "$here/node" "$here/training.mjs" ${PEER:+--peer "$PEER"} ${TRAINING_FLAGS:-} --out "$results/training.json"
for precision in fp32 bf16; do
  # shellcheck disable=SC2086
  step "bench-$precision" "$here/node" "$here/vwn.mjs" bench --backend vwn-cuda --precision "$precision" \
    --peer torch ${BENCH_FLAGS:-} --out "$results/bench-$precision.json"
done
[ -z "$failed" ] || { echo "failed:$failed"; exit 1; }
