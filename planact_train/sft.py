"""Supervised fine-tuning of one role (planner or executor) with TRL, from the rows of a recipe to a loadable model.

The same command again resumes from the last checkpoint, and does nothing when the model is finished.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from accelerate import PartialState
from trl import ModelConfig, get_peft_config, get_quantization_config

from planact.layout import FINISHED, data_folder, model_folder, model_settings, write_json
from planact.recipe import Recipe
from planact_envs.suites import load_suite
from planact_train.chat import load_tokenizer
from planact_train.checkpoints import last_checkpoint
from planact_train.launch import check_launch
from planact_train.rows import role_rows
from planact_train.saving import save_model
from planact_train.settings import MUON, accumulation, model_config, sft_config
from planact_train.tokens import warn_of_cut_rows
from planact_train.trainer import AnswerTrainer, ProgressLine


def train(recipe: Recipe, role: str, runs: Path) -> Path:
    """Fine-tune `role` on its row kinds and save it. Returns the model's folder.

    Raises NotBuilt when rows or the base are missing, RecipeError when what runs is not what the recipe asks for.
    """
    rows_folder = data_folder(recipe, load_suite(recipe.data.suite).version, runs)
    folder = model_folder(recipe, role, rows_folder, runs)
    if (folder / FINISHED).exists():
        return folder
    check_launch(recipe.training)
    trainer, rows = make_trainer(recipe, role, rows_folder, folder)
    warn_of_cut_rows(trainer, rows)
    trainer.train(resume_from_checkpoint=last_checkpoint(folder))
    save_model(trainer, folder)
    if PartialState().is_main_process:
        _finish(folder, recipe, role, rows_folder, trainer)
    return folder


def make_trainer(recipe: Recipe, role: str, rows_folder: Path, folder: Path) -> tuple[AnswerTrainer, int]:
    """The trainer of `role`, ready to train, and how many rows it was given."""
    settings = recipe.sft_for(role)
    model = model_config(settings, recipe.base_model)
    rows = role_rows(recipe, role, rows_folder)
    steps = accumulation(recipe.training, settings)
    trainer = AnswerTrainer(
        model=model.model_name_or_path,
        args=sft_config(settings, folder, recipe.seed, model_init_kwargs=_init_kwargs(model), **steps),
        train_dataset=rows.train.select_columns(["prompt", "completion"]),
        processing_class=load_tokenizer(recipe.base_model, settings),
        muon=settings.get("optim") == MUON,
        quantization_config=get_quantization_config(model),
        peft_config=get_peft_config(model),
        callbacks=[ProgressLine(f"train {role} {recipe.name}")],
    )
    return trainer, len(rows.train)


def _init_kwargs(model: ModelConfig) -> dict[str, Any]:
    """How TRL loads the base model; never with code from the Hub."""
    return {"revision": model.model_revision, "attn_implementation": model.attn_implementation, "dtype": model.dtype}


def _finish(folder: Path, recipe: Recipe, role: str, rows_folder: Path, trainer: AnswerTrainer) -> None:
    """The recipe, the curve and what the model was made from; the marker of a finished model comes last."""
    (folder / "recipe.yaml").write_text(recipe.to_yaml())
    curve = [entry for entry in trainer.state.log_history if "loss" in entry]
    write_json(folder / "curve.json", curve)
    write_json(
        folder / FINISHED,
        {
            "settings": model_settings(recipe, role, rows_folder),
            "rows": len(trainer.train_dataset),
            "steps": trainer.state.global_step,
            "train_loss": json.loads(json.dumps(curve[-1]["loss"])) if curve else None,
        },
    )
