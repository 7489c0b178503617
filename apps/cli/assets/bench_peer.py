"""PyTorch's side of `vwn bench --peer torch`: reads one JSON request a line, answers with one JSON line.

The one argument is the device to compute on, cpu or cuda.
"""

import json
import sys
import time


def main():
    try:
        import torch
    except Exception as error:  # an installation can be broken in more ways than being absent
        return answer(missing=str(error).split("\n")[0])
    device = sys.argv[1]
    if device == "cuda" and not torch.cuda.is_available():
        return answer(missing="this torch finds no GPU")
    answer(torch=torch.__version__, threads=torch.get_num_threads())
    current = None
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "prepare":
            current = prepare(torch, device, **{key: request[key] for key in ("op", "shapes", "precision")})
            answer(**({"bytes": current.bytes} if current else {}))
        else:
            answer(ms=getattr(current, request["do"])(request["calls"]))


def answer(**facts):
    print(json.dumps(facts), flush=True)


def operations(torch):
    """Functions of the inputs by the names and layouts of the case table."""
    F = torch.nn.functional

    def rms_norm(x, weight):
        return F.rms_norm(x, weight.shape, weight, eps=1e-6)

    def attention(q, k, v):
        # Ours are [batch, tokens, heads, size]; fewer key heads serve several query heads each.
        group = q.shape[2] // k.shape[2]
        q, k, v = (each.transpose(1, 2) for each in (q, k, v))
        if group > 1:
            k, v = (each.repeat_interleave(group, dim=1) for each in (k, v))
        T, S = q.shape[2], k.shape[2]
        if T == S:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
        # The queries are the last T of S positions; is_causal would take them as the first.
        mask = torch.ones(T, S, dtype=torch.bool, device=q.device).tril(S - T)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)

    return {
        "linear": lambda x, weight: F.linear(x, weight),
        "rmsNorm": rms_norm,
        "causalAttention": attention,
        "swiGlu": lambda gate, up: F.silu(gate) * up,
        "embeddingLookup": lambda table, ids: F.embedding(ids, table),
        "linearCrossEntropy": lambda hidden, weight, targets: F.cross_entropy(
            F.linear(hidden, weight).float(), targets, ignore_index=0, reduction="none"
        ),
    }


def prepare(torch, device, op, shapes, precision):
    run = operations(torch).get(op)
    if run is None:
        return None
    torch.manual_seed(0)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    rows = shapes[{"embeddingLookup": "table", "linearCrossEntropy": "weight"}.get(op, next(iter(shapes)))][0]
    inputs = {
        name: torch.randint(rows, shape, device=device)
        if name in ("ids", "targets")
        else (0.7 * torch.randn(shape, device=device)).to(dtype).requires_grad_()
        for name, shape in shapes.items()
    }
    return Case(torch, run, inputs)


class Case:
    def __init__(self, torch, run, inputs):
        self.torch, self.run, self.inputs = torch, run, inputs
        self.leaves = [each for each in inputs.values() if each.requires_grad]
        output = run(**inputs)
        self.upstream = torch.randn_like(output)
        # Ids count as the 32-bit numbers that they are on our side, so that GB/s can be compared.
        sizes = (each.numel() * (each.element_size() if each.is_floating_point() else 4) for each in inputs.values())
        self.bytes = sum(sizes) + output.numel() * output.element_size()

    def now(self):
        """Seconds, when all that was queued on a GPU is done."""
        if self.upstream.is_cuda:
            self.torch.cuda.synchronize()
        return time.perf_counter()

    def forward(self, calls):
        with self.torch.no_grad():
            start = self.now()
            for _ in range(calls):
                self.run(**self.inputs)
            return 1000 * (self.now() - start) / calls

    def backward(self, calls):
        """Without the forward pass that each needs."""
        total = 0.0
        for _ in range(calls):
            output = self.run(**self.inputs)
            start = self.now()
            self.torch.autograd.grad(output, self.leaves, self.upstream)
            total += self.now() - start
        return 1000 * total / calls


main()
