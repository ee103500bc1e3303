"""From a recipe's `sft` mapping to TRL's own configuration objects, key for key."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Mapping

from trl import ModelConfig, SFTConfig

MODEL_KEYS = frozenset(f.name for f in dataclasses.fields(ModelConfig))


def sft_config(settings: Mapping[str, Any], output_dir: Path, seed: int, **overrides: Any) -> SFTConfig:
    """TRL's SFTConfig of the recipe. Raises TypeError or ValueError, as TRL does, on a value it does not accept."""
    keys = {key: value for key, value in settings.items() if key not in MODEL_KEYS}
    return SFTConfig(**({"seed": seed, "data_seed": seed} | keys | {"output_dir": str(output_dir)} | overrides))


def model_config(settings: Mapping[str, Any], base_model: str) -> ModelConfig:
    """TRL's ModelConfig of the recipe."""
    keys = {key: value for key, value in settings.items() if key in MODEL_KEYS}
    return ModelConfig(**({"model_name_or_path": base_model} | keys))
