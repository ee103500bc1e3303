"""A finished model as files that any library loads: safetensors, tokenizer and chat template."""

from __future__ import annotations

from pathlib import Path

from trl import SFTTrainer


def save_model(trainer: SFTTrainer, folder: Path) -> None:
    """Save the full model, or the adapter, of a finished training."""
    trainer.save_model(str(folder))
