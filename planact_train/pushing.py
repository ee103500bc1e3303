"""Pushing while a model is trained: `sft.push_to_hub: true` pushes each checkpoint once it is saved, and the model at the end.

`sft.hub_strategy: end` pushes the model alone. TRL's own push is not used: it knows neither branches by step nor our card. A training
waits for a push of its checkpoint, and a Hub that does not answer never stops it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback

from planact.hub import PublishError
from planact.recipe import TRAINED_ROLES, Recipe, RecipeError
from planact_train.hub import loadable_steps, push_checkpoint, push_model
from planact_train.model_card import Names


def check_hub(recipe: Recipe, role: str) -> None:
    """Raises RecipeError where `sft` asks for a push that could not be done, or would go where another role's goes."""
    settings = recipe.sft_for(role)
    if settings.get("hub_token"):
        raise RecipeError("sft.hub_token: a recipe holds no secrets; log in with `hf auth login`, or set HF_TOKEN")
    if not settings.get("push_to_hub"):
        return
    repo = settings.get("hub_model_id") or ""
    if repo.count("/") != 1:
        raise RecipeError(f"sft.push_to_hub needs a repository: sft.{role}.hub_model_id: owner/name; found {repo or 'none'}")
    if len({recipe.sft_for(one).get("hub_model_id") for one in TRAINED_ROLES}) == 1:
        raise RecipeError(f"planner and executor would both go to {repo}; set sft.planner.hub_model_id and sft.executor.hub_model_id")


class PushCheckpoints(TrainerCallback):
    """Each checkpoint as a branch, once it is saved. A push that fails is told and does not stop the training."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]):
        self.folder, self.settings = folder, settings

    def on_save(self, args, state, control, **kwargs):
        if state.is_world_process_zero and state.global_step in loadable_steps(self.folder):
            names, public = Names(self.settings["hub_model_id"]), self.settings.get("hub_private_repo") is False
            _try(lambda: push_checkpoint(self.folder, state.global_step, names, public=public), names.repo)


def push_while_training(trainer: Trainer, settings: Mapping[str, Any], folder: Path) -> None:
    """Have the trainer push its checkpoints where the recipe asks for that."""
    if settings.get("push_to_hub") and settings.get("hub_strategy", "every_save") != "end":
        trainer.add_callback(PushCheckpoints(folder, settings))


def push_finished(settings: Mapping[str, Any], folder: Path) -> None:
    """Push the finished model where the recipe asks for that. For the main process."""
    if settings.get("push_to_hub"):
        names, public = Names(settings["hub_model_id"]), settings.get("hub_private_repo") is False
        _try(lambda: push_model(folder, names, public=public), names.repo)


def _try(push: Callable[[], list[str]], repo: str) -> None:
    try:
        print(push()[0])
    except PublishError as error:
        print(f"warning: {error}\nlater: python scripts/push.py --role ... --checkpoints --repo {repo}", file=sys.stderr)
