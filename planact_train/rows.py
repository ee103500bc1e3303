"""The training rows of one role: read from the files that planact_data wrote, with some held out to measure on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from datasets import Dataset, concatenate_datasets, load_dataset

from planact.layout import row_kinds, row_sources
from planact.recipe import Recipe, RecipeError


class Rows(NamedTuple):
    train: Dataset  # columns: prompt, completion, kind, task_id
    held_out: Dataset | None  # None: training.held_out is 0


def role_rows(recipe: Recipe, role: str, folder: Path) -> Rows:
    """The rows that `role` is trained on, shuffled by the recipe's seed. Raises RecipeError when its sources hold none."""
    kinds, sources = row_kinds(recipe, role), row_sources(recipe, role)
    rows = load_rows(folder, kinds, recipe.seed, sources)
    if not len(rows):
        raise RecipeError(f"no {', '.join(kinds)} rows come from {', '.join(sources)}; change data.{role}_sources, or build such rows")
    return split(rows, recipe.training.held_out)


def load_rows(folder: Path, kinds: tuple[str, ...], seed: int, sources: tuple[str, ...] = ()) -> Dataset:
    """The rows of several kinds, of the named sources or of all, as one shuffled dataset."""
    parts = [load_dataset("parquet", data_files=str(folder / f"{kind}.parquet"), split="train") for kind in kinds]
    rows = concatenate_datasets(parts)
    if sources:
        rows = rows.select([i for i, source in enumerate(rows["source"]) if source in sources])
    return rows.select_columns(["prompt", "completion", "kind", "task_id"]).shuffle(seed=seed)


def split(rows: Dataset, held_out: int) -> Rows:
    """The last `held_out` rows of each kind set apart, and with them every other row of the same tasks."""
    if not held_out:
        return Rows(rows, None)
    chosen: dict[str, list[int]] = {}
    for position, kind in reversed(list(enumerate(rows["kind"]))):
        of_kind = chosen.setdefault(kind, [])
        if len(of_kind) < held_out:
            of_kind.append(position)
    apart = sorted(position for of_kind in chosen.values() for position in of_kind)
    tasks = {rows[position]["task_id"] for position in apart}
    train = rows.select([i for i, task in enumerate(rows["task_id"]) if task not in tasks])
    if not len(train):
        raise RecipeError(f"training.held_out={held_out} leaves no row to train on; there are {len(rows)} rows of {len(tasks)} tasks")
    return Rows(train, rows.select(apart))
