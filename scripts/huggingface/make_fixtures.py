"""Writes small random Hugging Face checkpoints and the log-probabilities that transformers gives them.

    python make_fixtures.py OUT

A folder a model: what `save_pretrained` writes, `ids.json` (number[][]) and `logprobs.json` (row t holds the
log-probability of token t+1). Weights are random with a fixed seed, in float32 unless the name says otherwise.
"""
import json
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

BACKBONE = dict(vocab_size=61, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
                max_position_embeddings=64, initializer_range=0.15, bos_token_id=1, eos_token_id=2)


def models():
    def llama(**more):
        return LlamaForCausalLM(LlamaConfig(**{**BACKBONE, **more}))

    yield "llama-grouped-heads", llama(num_key_value_heads=2), {}
    yield "llama-tied-sharded", llama(num_key_value_heads=4, tie_word_embeddings=True), {"max_shard_size": "20KB"}
    yield "llama-head-dim-bf16", llama(num_key_value_heads=1, head_dim=16).to(torch.bfloat16), {}
    yield "llama-f16", llama(num_key_value_heads=2, rms_norm_eps=1e-5).to(torch.float16), {}
    yield "mixtral", MixtralForCausalLM(MixtralConfig(**BACKBONE, num_key_value_heads=2, num_local_experts=4,
                                                      num_experts_per_tok=2)), {}


def logprobs(model, ids):
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    return logits[:-1].log_softmax(-1).gather(-1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()


def main(out):
    torch.manual_seed(20)
    for name, model, save_options in models():
        folder = pathlib.Path(out) / name
        model.eval().save_pretrained(folder, **save_options)
        # Loaded again in float32: converting a live model also rounds its rotary frequencies, which no file holds.
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        ids = [torch.randint(0, BACKBONE["vocab_size"], (length,)).tolist() for length in (2, 17, 31)]
        (folder / "ids.json").write_text(json.dumps(ids))
        (folder / "logprobs.json").write_text(json.dumps([logprobs(model, row) for row in ids]))
        print(f"{name}: {sum(p.numel() for p in model.parameters())} parameters", file=sys.stderr)


main(sys.argv[1])
