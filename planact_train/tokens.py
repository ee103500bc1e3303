"""What of the rows reaches the model: tokens kept under `sft.max_length`, and how full the packed sequences are."""

from __future__ import annotations

import sys

from trl import SFTTrainer


def warn_of_cut_rows(trainer: SFTTrainer, rows: int) -> None:
    """TRL cuts rows at `max_length` and drops those whose answer is gone, and says nothing."""
    args, kept = trainer.args, trainer.train_dataset
    cut = 0 if args.packing or not args.max_length else rows - len(kept) + sum(len(ids) == args.max_length for ids in kept["input_ids"])
    if cut and trainer.is_world_process_zero():
        print(f"warning: {cut} of {rows} rows are longer than sft.max_length={args.max_length} tokens and lose their end", file=sys.stderr)
