"""Attempts at validation tasks, from which targeted augmentation learns what goes wrong (paper 4.3).

They come from an evaluation's run store, or the actor makes them here. Test tasks never steer the data: a store of
another split or suite is refused, and so is one with a task that the validation split does not have.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Sequence

from planact.recipe import Recipe, RecipeError
from planact.store import RunStore, StoreError, read_run
from planact.types import Task, Trajectory, from_dict
from planact_data.models import Models
from planact_data.trajectories import KIND as EVALUATED
from planact_data.trajectories import load_trajectories, roll_out
from planact_envs.suites import Suite

KIND = "validation attempt"
SPLIT = "validation"


async def validation_attempts(recipe: Recipe, suite: Suite, models: Models, store: RunStore) -> list[Trajectory]:
    """One trajectory for each validation task that was tried, in the order of the split. Raises RecipeError."""
    tasks = suite.tasks(SPLIT)
    if recipe.data.failures_of:
        return read_evaluation(Path(recipe.data.failures_of), suite, tasks)
    await roll_out(tasks, suite, recipe.agent, models.actor, store, recipe.seed, models.in_flight, KIND)
    return load_trajectories(tasks, store, KIND)


def read_evaluation(path: Path, suite: Suite, tasks: Sequence[Task]) -> list[Trajectory]:
    """The trajectories of an evaluation on the validation split. Raises RecipeError for a store that holds something else."""
    try:
        with read_run(path) as run:
            _check(path, run.fingerprint, suite)
            stored = dict(run.items(EVALUATED))
    except StoreError as error:
        raise RecipeError(f"data.failures_of: {error}") from error
    known = {task.id: task for task in tasks}
    if strange := sorted(set(stored) - set(known)):
        raise _wrong(path, f"holds {strange[0]!r}, which is no {SPLIT} task of {suite.name}")
    try:
        attempts = {key: from_dict(Trajectory, value) for key, value in stored.items()}
    except (TypeError, ValueError) as error:
        raise _wrong(path, f"was made by another version of the loop ({error})") from error
    if changed := [key for key, attempt in attempts.items() if attempt.task_hash != known[key].hash]:
        raise _wrong(path, f"holds another task under the name {sorted(changed)[0]!r} than {suite.name} has now")
    return [attempts[task.id] for task in tasks if task.id in attempts]


def _check(path: Path, settings: Mapping[str, Any], suite: Suite) -> None:
    """Hold the settings of an evaluation to what they must be."""
    split, name = settings.get("split"), settings.get("suite")
    if split != SPLIT:
        raise _wrong(path, f"is an evaluation on the {split} split" if split else "is not the store of an evaluation")
    if name != suite.name:
        raise _wrong(path, f"is an evaluation on {name}, not on {suite.name}")


def _wrong(path: Path, what: str) -> RecipeError:
    return RecipeError(
        f"data.failures_of: {path} {what}; name the run.sqlite that scripts/evaluate.py made with --set eval.split={SPLIT}, "
        "or leave it empty to have the actor tried on that split"
    )
