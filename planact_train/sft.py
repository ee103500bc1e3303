"""Supervised fine-tuning of one role (planner or executor) with TRL, from the rows of a recipe to a loadable model.

The same command again resumes from the last checkpoint, and does nothing when the model is finished.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from accelerate import PartialState
from datasets import Dataset, concatenate_datasets, load_dataset
from transformers import AutoTokenizer
from transformers.trainer_utils import get_last_checkpoint
from trl import ModelConfig, get_peft_config, get_quantization_config

from planact.layout import FINISHED, data_folder, model_folder, model_settings, row_kinds, write_json
from planact.recipe import Recipe
from planact_envs.suites import load_suite
from planact_train.settings import MUON, model_config, sft_config
from planact_train.trainer import AnswerTrainer, ProgressLine


def train(recipe: Recipe, role: str, runs: Path) -> Path:
    """Fine-tune `role` on its row kinds and save it. Returns the model's folder. Raises NotBuilt when rows or the base are missing."""
    rows_folder = data_folder(recipe, load_suite(recipe.data.suite).version, runs)
    folder = model_folder(recipe, role, rows_folder, runs)
    if (folder / FINISHED).exists():
        return folder
    settings = recipe.sft_for(role)
    model = model_config(settings, recipe.base_model)
    tokenizer = AutoTokenizer.from_pretrained(recipe.base_model)
    rows = load_rows(rows_folder, row_kinds(recipe, role), recipe.seed)
    trainer = AnswerTrainer(
        model=model.model_name_or_path,
        args=sft_config(settings, folder, recipe.seed, model_init_kwargs=_init_kwargs(model)),
        train_dataset=rows,
        processing_class=tokenizer,
        muon=settings.get("optim") == MUON,
        quantization_config=get_quantization_config(model),
        peft_config=get_peft_config(model),
        callbacks=[ProgressLine(f"train {role} {recipe.name}")],
    )
    _warn_of_cut_rows(trainer, len(rows))
    trainer.train(resume_from_checkpoint=last_checkpoint(folder))
    trainer.save_model(str(folder))
    if PartialState().is_main_process:
        _finish(folder, recipe, role, rows_folder, trainer)
    return folder


def load_rows(folder: Path, kinds: tuple[str, ...], seed: int) -> Dataset:
    """The rows of several kinds as one shuffled dataset of prompt and completion messages."""
    parts = [load_dataset("parquet", data_files=str(folder / f"{kind}.parquet"), split="train") for kind in kinds]
    return concatenate_datasets(parts).select_columns(["prompt", "completion"]).shuffle(seed=seed)


def last_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was saved to its end; unfinished ones are named and removed."""
    while folder.is_dir() and (path := get_last_checkpoint(str(folder))):
        if _is_whole(Path(path) / "trainer_state.json"):
            print(f"resuming from {path}")
            return path
        print(f"{path} was not saved to its end; removing it")
        shutil.rmtree(path)
    return None


def _is_whole(trainer_state: Path) -> bool:
    """The file that is written last, and in place, so that a kill can leave half of it."""
    try:
        json.loads(trainer_state.read_text())
    except (FileNotFoundError, ValueError):
        return False
    return True


def _warn_of_cut_rows(trainer: AnswerTrainer, rows: int) -> None:
    """TRL cuts rows at `max_length` and drops those whose answer is gone, and says nothing."""
    args, kept = trainer.args, trainer.train_dataset
    cut = 0 if args.packing or not args.max_length else rows - len(kept) + sum(len(ids) == args.max_length for ids in kept["input_ids"])
    if cut and trainer.is_world_process_zero():
        print(f"warning: {cut} of {rows} rows are longer than sft.max_length={args.max_length} tokens and lose their end", file=sys.stderr)


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
