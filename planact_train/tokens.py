"""What of the rows reaches the model: tokens kept under `sft.max_length`, and how full the packed sequences are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import torch
from datasets import Dataset
from torch.nn.functional import pad
from trl import SFTConfig, SFTTrainer

from planact.recipe import RecipeError

AT_ONCE = 1000  # rows read at once


class Lengths(NamedTuple):
    """Tokens of every row of a tokenized data set, or of every part of a row in packed sequences."""

    tokens: torch.Tensor
    answers: torch.Tensor  # of them, those that are trained


@dataclass(frozen=True)
class Kept:
    """What TRL made of the rows, against the same rows without a limit."""

    rows: int
    longest: int  # tokens of the longest row
    cut: int  # rows longer than `sft.max_length`; under `packing_strategy: bfd_split` they are split, and lose nothing
    dropped: int  # rows of which no trained token is left
    tokens: int  # of all rows without a limit
    tokens_kept: float  # share of `tokens`
    answer_tokens: int  # trained tokens of all rows without a limit
    answers_kept: float  # share of `answer_tokens`
    sequences: int  # rows that the model sees: packed sequences, or the rows that are left
    efficiency: float | None  # share of the packed sequences that is tokens, not room; None without packing


def measure(rows: Dataset) -> Lengths:
    """Lengths of tokenized rows. Reads the labels as they lie in the file: seconds for a hundred million tokens."""
    tokens, answers = [torch.zeros(0, dtype=int)], [torch.zeros(0, dtype=int)]
    packed = "seq_lengths" in rows.column_names
    for table in rows.select_columns(["labels", "seq_lengths"] if packed else ["labels"]).with_format("arrow").iter(AT_ONCE):
        labels = _column(table, "labels")
        lengths = _tensor(_column(table, "seq_lengths").flatten() if packed else labels.value_lengths())
        trained = pad((_tensor(labels.flatten()) != -100).cumsum(0), (1, 0))  # before every token
        ends = lengths.cumsum(0)
        tokens.append(lengths)
        answers.append(trained[ends] - trained[ends - lengths])
    return Lengths(torch.cat(tokens), torch.cat(answers))


def check_tokens(trainer: SFTTrainer, whole: Lengths, min_kept: float) -> Kept:
    """Count what is left of the rows, whose lengths without a limit are `whole`, and say so in one line.

    Raises RecipeError when less than the share `min_kept` is left of the tokens, or of those that are trained.
    """
    kept = _kept(whole, measure(trainer.train_dataset), len(trainer.train_dataset), trainer.args)
    if min(kept.tokens_kept, kept.answers_kept) < min_kept:
        raise RecipeError(
            f"{_lost(kept, trainer.args)}, less than training.min_kept={min_kept} of them; "
            f"sft.max_length={kept.longest} keeps all, training.min_kept allows the loss"
        )
    if trainer.is_world_process_zero():
        print(describe(kept, trainer.args))
    return kept


def describe(kept: Kept, args: SFTConfig) -> str:
    """`kept` in one line."""
    line = f"tokens: {kept.rows:,} rows of {kept.tokens:,} tokens, the longest {kept.longest:,}; "
    if not kept.cut:
        line += "all kept"
    elif args.packing and args.packing_strategy == "bfd_split":
        line += f"{kept.cut:,} rows longer than sft.max_length={args.max_length} are split, the answer from its prompt"
    else:
        line += _lost(kept, args)
    if kept.efficiency is not None:
        line += f"; {kept.sequences:,} packed sequences, {kept.efficiency:.3f} full"
    return line


def _kept(whole: Lengths, left: Lengths, sequences: int, args: SFTConfig) -> Kept:
    rows, tokens, answers = len(whole.tokens), int(whole.tokens.sum()), int(whole.answers.sum())
    longest, limit, split = int(whole.tokens.max()), args.max_length, args.packing and args.packing_strategy == "bfd_split"
    return Kept(
        rows=rows,
        longest=longest,
        cut=int((whole.tokens > (limit or longest)).sum()),
        dropped=0 if split else rows - int((left.answers > 0).sum()),
        tokens=tokens,
        tokens_kept=int(left.tokens.sum()) / tokens,
        answer_tokens=answers,
        answers_kept=int(left.answers.sum()) / answers,
        sequences=sequences,
        efficiency=int(left.tokens.sum()) / (sequences * limit) if args.packing else None,
    )


def _lost(kept: Kept, args: SFTConfig) -> str:
    return (
        f"{kept.cut:,} of {kept.rows:,} rows are longer than sft.max_length={args.max_length} tokens (the longest has {kept.longest:,}), "
        f"{kept.dropped:,} of them lose their whole answer: {kept.tokens_kept:.4f} of all tokens and "
        f"{kept.answers_kept:.4f} of the answers' are kept"
    )


def _column(table: pa.Table, name: str) -> pa.ListArray:
    return table[name].combine_chunks()


def _tensor(numbers: pa.Array) -> torch.Tensor:
    return torch.tensor(numbers.to_numpy(zero_copy_only=False), dtype=int)
