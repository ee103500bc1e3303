"""Supervised fine-tuning of one role (planner or executor) with TRL, from the rows of a recipe to a loadable model.

The same command again resumes from the last checkpoint, and does nothing when the model is finished.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Mapping

from accelerate import PartialState
from trl import ModelConfig, get_peft_config, get_quantization_config

from planact.layout import CURVE, FINISHED, MERGED, data_folder, model_folder, model_settings, write_json
from planact.recipe import Recipe
from planact_envs.suites import load_suite
from planact_train.answers import answer_checks
from planact_train.attention import attention
from planact_train.chat import check_template, load_tokenizer, template_in_place
from planact_train.checkpoints import last_checkpoint
from planact_train.faults import alone, check_space, reported
from planact_train.launch import announce, check_launch
from planact_train.merging import check_merge, is_adapter, merge_adapter
from planact_train.model_card import write_card
from planact_train.packing import check_packing
from planact_train.pushing import check_hub, push_finished, push_while_training
from planact_train.rows import role_rows
from planact_train.saving import save_model
from planact_train.settings import MUON, accumulation, measuring, model_config, sft_config
from planact_train.tokens import Kept, check_tokens
from planact_train.trackers import check_trackers, other_trackers, track
from planact_train.tracking import begin_run
from planact_train.trainer import AnswerTrainer, ProgressLine


def train(recipe: Recipe, role: str, runs: Path) -> Path:
    """Fine-tune `role` on its row kinds and save it. Returns the model's folder.

    Raises NotBuilt when rows or the base are missing, RecipeError when what runs is not what the recipe asks for, RunLocked when another
    process trains this model, TrainingError when the disk is full or the loss is no number.
    """
    rows_folder = data_folder(recipe, load_suite(recipe.data.suite).version, runs)
    folder = model_folder(recipe, role, rows_folder, runs)
    check_merge(recipe, role)
    if (folder / FINISHED).exists():
        _merge(recipe, folder)
        return folder
    running = check_launch(recipe.training, recipe.sft_for(role))
    check_packing(recipe.base_model, recipe.sft_for(role))
    check_trackers(recipe.sft_for(role))
    check_hub(recipe, role)
    with alone(folder):
        trainer = make_trainer(recipe, role, rows_folder, folder)
        kept = check_tokens(trainer, trainer.whole["train"], recipe.training.min_kept)
        check_space(trainer)
        track(trainer, recipe.sft_for(role), begin_run(recipe, role, rows_folder, folder), runs)
        push_while_training(trainer, recipe.sft_for(role), folder)
        launched = announce(trainer, running)
        trainer.train(resume_from_checkpoint=last_checkpoint(folder, trainer.origin))
        with reported(folder):
            save_model(trainer, folder)
            _merge(recipe, folder)
            if PartialState().is_main_process:
                _finish(folder, recipe, role, rows_folder, trainer, kept, launched)
        if PartialState().is_main_process:
            push_finished(recipe.sft_for(role), folder)
    return folder


def make_trainer(recipe: Recipe, role: str, rows_folder: Path, folder: Path) -> AnswerTrainer:
    """The trainer of `role`, ready to train."""
    settings = recipe.sft_for(role)
    model = model_config(settings, recipe.base_model)
    rows = role_rows(recipe, role, rows_folder)
    more = accumulation(recipe.training, settings) | measuring(recipe.training, settings)
    more |= {"report_to": other_trackers(settings), "push_to_hub": False}  # the rest of both is ours
    columns = ["prompt", "completion"]
    tokenizer = load_tokenizer(recipe.base_model, settings)
    check_template(tokenizer, rows.train, settings)
    trainer = AnswerTrainer(
        model=model.model_name_or_path,
        args=sft_config(settings, folder, recipe.seed, **_init_kwargs(model, settings), **template_in_place(tokenizer), **more),
        train_dataset=rows.train.select_columns([*columns, "task_id"]),  # the id, so that an error can name rows
        eval_dataset=rows.held_out and rows.held_out.select_columns(columns),
        processing_class=tokenizer,
        muon=settings.get("optim") == MUON,
        quantization_config=get_quantization_config(model),
        peft_config=get_peft_config(model),
    )
    for callback in [*answer_checks(trainer, recipe, role, rows.held_out), ProgressLine(f"train {role} {recipe.name}")]:
        trainer.add_callback(callback)
    return trainer


def _init_kwargs(model: ModelConfig, settings: Mapping[str, Any]) -> dict[str, Any]:
    """How TRL loads the base model; never with Python code from the Hub."""
    more = settings.get("model_init_kwargs") or {}  # e.g. use_kernels
    kwargs = {"revision": model.model_revision, "attn_implementation": attention(settings), "dtype": model.dtype}
    return {"model_init_kwargs": {**more, **kwargs}}


def _merge(recipe: Recipe, folder: Path) -> None:
    """Once, in one process, also when it is asked for after the training only."""
    if recipe.training.merge and is_adapter(folder) and PartialState().is_main_process:
        merge_adapter(folder, folder / MERGED)


def _finish(folder: Path, recipe: Recipe, role: str, rows_folder: Path, trainer: AnswerTrainer, kept: Kept, launched: dict) -> None:
    """The curve, what the model was made from and its card; the marker of a finished model comes before the card, which reads it."""
    curve = [entry for entry in trainer.state.log_history if "train_runtime" not in entry]  # training, held-out rows and answers, by step
    write_json(folder / CURVE, curve)
    losses = [entry["loss"] for entry in curve if "loss" in entry]
    write_json(
        folder / FINISHED,
        {
            "settings": model_settings(recipe, role, rows_folder),
            "launch": launched,
            "rows": kept.rows,
            "tokens": dataclasses.asdict(kept),
            "steps": trainer.state.global_step,
            "train_loss": losses[-1] if losses else None,
        },
    )
    write_card(folder)
