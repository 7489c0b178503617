"""Scores token ids with a checkpoint through transformers: python score.py CHECKPOINT IDS.json → logprobs as JSON.

Exits with 1 when transformers reports a missing, unexpected or mismatched weight, so that a checkpoint which only half
loads is not mistaken for one that loads.
"""
import json
import sys

import torch
from transformers import AutoModelForCausalLM


def main(checkpoint, ids_file):
    model, info = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32, output_loading_info=True)
    problems = {key: sorted(map(str, value)) for key, value in info.items() if value}
    if problems:
        sys.exit(f"{checkpoint} does not load cleanly: {problems}")
    rows = []
    for ids in json.load(open(ids_file)):
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        rows.append(logits[:-1].log_softmax(-1).gather(-1, torch.tensor(ids[1:])[:, None])[:, 0].tolist())
    json.dump(rows, sys.stdout)


main(*sys.argv[1:])
