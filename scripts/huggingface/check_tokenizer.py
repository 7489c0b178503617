"""Compares a tokenizer made here with Hugging Face's: python check_tokenizer.py FOLDER; exits with 1 on a difference.

FOLDER holds `texts.json`, the `tokenizer.json` trained on them here, and `ids.json`, what it makes of each text.
"""
import json
import pathlib
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers


def main(folder):
    texts, ours, ids = (json.loads((pathlib.Path(folder) / f"{name}.json").read_text())
                        for name in ("texts", "tokenizer", "ids"))
    theirs = Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.decoder = decoders.ByteLevel()
    theirs.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=len(ours["model"]["vocab"]), min_frequency=2, special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    loaded = Tokenizer.from_str(json.dumps(ours))
    encoded = [encoding.ids for encoding in loaded.encode_batch(texts, add_special_tokens=False)]
    report("tokenizer.json is the one that BpeTrainer makes", json.loads(theirs.to_str()) == ours)
    report(f"{sum(map(len, ids))} ids are those of tokenizers", encoded == ids)


def report(title, holds):
    print("ok  " if holds else "FAIL", title)
    if not holds:
        sys.exit(1)


main(sys.argv[1])
