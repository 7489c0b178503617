"""PyTorch's side of a comparison in turns (turns.mjs): keeps one model of the peer and takes as many steps as each line
on stdin asks for, as the peer's own `bench` command does. The peer's file brings Config, VwnForCausalLM, decay_groups.

Arguments: the peer's file, and JSON: { mode, device, precision, width: { m, n }, sizes, threads }.
Stdout: a line `steps: JSON` when it is ready, then one for each line read.
"""
import importlib.util
import json
import sys
import time

import torch


def load_peer(path):
    spec = importlib.util.spec_from_file_location("peer", path)
    peer = sys.modules["peer"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peer)
    return peer


def model_config(peer, sizes, m, n):
    # The norm before the reduce operator works in groups of D, which a fractional n/m does not divide into.
    norm = {"reduce_norm": "none"} if m and n % m else {}
    return peer.Config(
        vocab_size=sizes["vocab"], hidden_size=sizes["hidden"], intermediate_size=sizes["ffn"],
        num_hidden_layers=sizes["layers"], num_attention_heads=sizes["heads"], num_key_value_heads=sizes["heads"],
        m=m, n=n, mtp_depth=sizes["mtp"], **norm)


def training_step(peer, mode, device, precision, width, sizes):
    torch.manual_seed(0)
    model = peer.VwnForCausalLM(model_config(peer, sizes, width["m"], width["n"])).to(device)
    optimizer = torch.optim.AdamW(peer.decay_groups(model, 0.1), lr=1e-3, betas=(0.9, 0.95), fused=True)
    ids = torch.randint(0, sizes["vocab"], (sizes["batch"], sizes["seq"] + 1 + sizes["mtp"])).to(device)
    forward = torch.compile(model) if mode == "compile" else model

    def step():
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            loss, _ = forward(ids)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device == "cuda":
            torch.cuda.synchronize()
        return loss

    return step, sum(p.numel() for p in model.parameters())


def say(message):
    print("steps: " + json.dumps(message), flush=True)


def main(peer_file, settings):
    torch.set_num_threads(settings.pop("threads"))
    step, parameters = training_step(load_peer(peer_file), **settings)
    say({"parameters": parameters})
    for line in sys.stdin:
        ms, loss = [], None
        for _ in range(int(line)):
            start = time.perf_counter()
            loss = step()
            ms.append((time.perf_counter() - start) * 1e3)
        say({"ms": ms, "loss": loss.item()})


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
