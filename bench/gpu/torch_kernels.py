"""PyTorch's side of kernels.mjs: JSON on stdin says device, turns, repeat and operations; answers with JSON, for each operation
null or milliseconds { way: { forward_ms, backward_ms } } in bf16, the median of the turns.
"""
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel


def main():
    request = json.load(sys.stdin)
    device, plan = request["device"], (request["turns"], request["repeat"])
    print(json.dumps([timed(device, plan, **each) for each in request["operations"]]))


def timed(device, plan, op, sizes=None):
    if op == "attention":
        return attention(device, plan, **sizes)
    if op == "linear":
        return {"linear": both(device, plan, *linear(device, **sizes))}
    return None


def random(device, *shape):
    return torch.randn(shape, device=device, dtype=torch.bfloat16, requires_grad=True)


def linear(device, rows, width, out):
    return F.linear, [random(device, rows, width), random(device, out, width)]


def attention(device, plan, B, T, H, K, d):
    leaves = [random(device, B, heads, T, d) for heads in (H, K, K)]
    ways = {"default": None, "flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}

    def run(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=H != K)

    results = {}
    for name, backend in ways.items():
        try:
            if backend is None:
                results[name] = both(device, plan, run, leaves)
            else:
                with sdpa_kernel(backend):
                    results[name] = both(device, plan, run, leaves)
        except RuntimeError:  # this device or build has no such kernel
            continue
    return results


def both(device, plan, run, leaves):
    output = run(*leaves)
    upstream = torch.randn_like(output)

    def backward():
        torch.autograd.grad(output, leaves, upstream, retain_graph=True)

    def forward():
        with torch.no_grad():
            run(*leaves)

    return {"forward_ms": milliseconds(device, plan, forward), "backward_ms": milliseconds(device, plan, backward)}


def milliseconds(device, plan, body):
    turns, repeat = plan
    times = []
    for turn in range(-1, turns):
        start = now(device)
        for _ in range(repeat):
            body()
        if turn >= 0:
            times.append(1000 * (now(device) - start) / repeat)
    return statistics.median(times)


def now(device):
    """Seconds, when all that was queued on a GPU is done."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


main()
