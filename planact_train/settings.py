"""From a recipe's `sft` mapping to TRL's own configuration objects, key for key."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Callable, Mapping, TypeVar

from trl import ModelConfig, SFTConfig

from planact.recipe import RecipeError, Training

Config = TypeVar("Config", SFTConfig, ModelConfig)
MUON = "muon"  # of `optim`: planact_train.muon's; TRL knows every other name
BATCH = 8  # per_device_train_batch_size where `sft` does not say: TRL's default
MODEL_KEYS = frozenset(f.name for f in dataclasses.fields(ModelConfig))


def sft_config(settings: Mapping[str, Any], output_dir: Path, seed: int, **overrides: Any) -> SFTConfig:
    """TRL's SFTConfig of the recipe. Raises RecipeError on what TRL does not accept."""
    keys = {key: value for key, value in settings.items() if key not in MODEL_KEYS and (key, value) != ("optim", MUON)}
    return _made(SFTConfig, {"seed": seed, "data_seed": seed} | keys | {"output_dir": str(output_dir)} | overrides)


def accumulation(training: Training, settings: Mapping[str, Any]) -> dict[str, int]:
    """`gradient_accumulation_steps` that make `training.batch` rows of all processes one step. Raises RecipeError when none does."""
    if training.batch is None:
        return {}
    at_once = settings.get("per_device_train_batch_size", BATCH) * training.processes
    if training.batch % at_once or "gradient_accumulation_steps" in settings:
        raise RecipeError(
            f"training.batch={training.batch} must be a multiple of per_device_train_batch_size * training.processes = {at_once}, "
            "and sets gradient_accumulation_steps itself; change one of the three"
        )
    return {"gradient_accumulation_steps": training.batch // at_once}


def measuring(training: Training, settings: Mapping[str, Any]) -> dict[str, Any]:
    """How often held-out rows are measured where `sft` does not say: ten times in a training (ours), in batches of the training's size.

    Raises RecipeError when something is to be measured and no rows are held out.
    """
    if training.held_out:
        size = settings.get("per_device_train_batch_size", BATCH)
        defaults = {"eval_strategy": "steps", "eval_steps": 0.1, "per_device_eval_batch_size": size}
        return {key: value for key, value in defaults.items() if key not in settings}
    if training.answer_every is not None:
        raise RecipeError(f"training.answer_every={training.answer_every} has no rows to answer; set training.held_out")
    if settings.get("eval_strategy", "no") not in ("no", False):  # False is how YAML reads a bare no
        raise RecipeError(f"sft.eval_strategy={settings['eval_strategy']} has no rows to measure on; set training.held_out")
    return {}


def model_config(settings: Mapping[str, Any], base_model: str) -> ModelConfig:
    """TRL's ModelConfig of the recipe. Raises RecipeError on what TRL does not accept."""
    keys = {key: value for key, value in settings.items() if key in MODEL_KEYS}
    return _made(ModelConfig, {"model_name_or_path": base_model} | keys)


def _made(kind: Callable[..., Config], settings: Mapping[str, Any]) -> Config:
    try:
        return kind(**settings)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"TRL does not accept these settings of `sft`: {error}") from error
