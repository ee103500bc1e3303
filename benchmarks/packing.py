"""How full packed sequences are: tokens / room, with TRL's best-fit decreasing (`packing_strategy: bfd`).

    python benchmarks/packing.py [--rows N] [--json]

    miniweb     the lengths of the rows that recipes/tiny builds (every kind), taken 8 times: the pages and plans of real sites are longer
    web pages   log-normal lengths, median 3,000 tokens and sigma 0.8 (ours: one row in twelve is over 9,000), at least 200

Rows longer than a sequence are left out, as a recipe that keeps all its tokens has none. The aim is 0.97 or more at every length.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import AutoTokenizer
from trl import pack_dataset

from planact.layout import data_folder
from planact.recipe import load_recipe
from planact_data.build import build
from planact_envs.suites import load_suite
from planact_train.rows import load_rows

REPO = Path(__file__).resolve().parents[1]
KINDS = ("plan", "replan", "act", "act_dynamic", "react")
SCALE = 8  # a page of miniweb has 500 tokens, one of WebArena thousands
SEQUENCES = (8192, 8193, 16385, 32768)  # tokens; the odd ones are a power of two and a shifted label
AIM = 0.97


def miniweb_lengths(number: int, dice: np.random.Generator) -> np.ndarray:
    """Drawn from the rows of forty tasks, each `SCALE` times as long, give or take a token in each part."""
    recipe = load_recipe(REPO / "recipes/tiny/dynamic-replanning.yaml", ["data.tasks=40", "data.executor=[react, act, act_dynamic]"])
    tokenizer = AutoTokenizer.from_pretrained(REPO / "models/planact-tiny")
    with tempfile.TemporaryDirectory() as runs:
        build(recipe, Path(runs))
        rows = load_rows(data_folder(recipe, load_suite(recipe.data.suite).version, Path(runs)), KINDS, recipe.seed)
        texts = [tokenizer.apply_chat_template([*row["prompt"], *row["completion"]], tokenize=False) for row in rows]
    lengths = np.array([len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]])
    return dice.choice(lengths, number) * SCALE + dice.integers(0, SCALE, number)


def page_lengths(number: int, dice: np.random.Generator) -> np.ndarray:
    return np.maximum(200, dice.lognormal(np.log(3000), 0.8, number).astype(int))


def packed(lengths: np.ndarray, sequence: int) -> dict[str, Any]:
    """What comes out for sequences of so many tokens."""
    kept = lengths[lengths <= sequence]
    rows = Dataset.from_dict({"input_ids": [np.zeros(n, np.int32) for n in kept]})
    start = time.perf_counter()
    sequences = pack_dataset(rows, sequence, "bfd")
    seconds = time.perf_counter() - start
    assert sum(map(sum, sequences["seq_lengths"])) == kept.sum()
    full = kept.sum() / (len(sequences) * sequence)
    return {
        "sequence": sequence,
        "rows": len(kept),
        "sequences": len(sequences),
        "full": round(float(full), 4),
        "seconds": round(seconds, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4000, help="rows of each distribution (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    dice = np.random.default_rng(0)
    results = {}
    for name, lengths in {"miniweb": miniweb_lengths(args.rows, dice), "web pages": page_lengths(args.rows, dice)}.items():
        found = [packed(lengths, sequence) for sequence in SEQUENCES]
        results[name] = {"median": int(np.median(lengths)), "longest": int(lengths.max()), "packed": found}
    if args.json:
        print(json.dumps(results | {"aim": AIM}))
        return
    for name, found in results.items():
        print(f"{name}, rows of {found['median']:,} tokens (median), {found['longest']:,} at most (aim {AIM:g})")
        for each in found["packed"]:
            counts = f"{each['rows']} rows in {each['sequences']}, {each['seconds']:.1f} s"
            print(f"  {each['sequence']:6} tokens: {each['full']:.4f} full, {counts}")


if __name__ == "__main__":
    main()
