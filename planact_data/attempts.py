"""Attempts at validation tasks, from which targeted augmentation learns what goes wrong (paper 4.3).

They come from an evaluation's run store, or the actor makes them here. Test tasks never steer the data: a store of
another split or suite is refused, and so is one with a task that the validation split does not have.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Sequence

from planact.failures import UNKNOWN, explain
from planact.recipe import Recipe, RecipeError
from planact.store import RunStore, StoreError, read_run
from planact.types import FailureInfo, Task, Trajectory, content_hash, from_dict
from planact_data.models import Models
from planact_data.trajectories import KIND as EVALUATED
from planact_data.trajectories import hosts_of, load_trajectories, roll_out
from planact_envs.suites import Suite

KIND = "validation attempt"
FAILURE = "failure"  # kind in an evaluation's store: why an episode failed, as a judge was asked with scripts/failures.py
SPLIT = "validation"

Attempt = tuple[Trajectory, FailureInfo | None]  # with why it failed; None when it did not


async def validation_attempts(recipe: Recipe, suite: Suite, models: Models, store: RunStore) -> list[Attempt]:
    """One attempt for each validation task that was tried, in the order of the split. Raises RecipeError."""
    tasks = suite.tasks(SPLIT)
    if recipe.data.failures_of:
        path = Path(recipe.data.failures_of)
        judged = judged_failures(path)
        return [(one, judged.get(one.task_id) or explain(one)) for one in read_evaluation(path, suite, tasks)]
    await roll_out(tasks, suite, recipe.agent, models.actor, store, recipe.seed, models.in_flight, KIND, hosts_of(recipe))
    return [(one, explain(one)) for one in load_trajectories(tasks, store, KIND)]


def judged_failures(path: Path) -> dict[str, FailureInfo]:
    """Task -> why its episode failed by a judge that knew, where the store holds what it said of this very episode.

    Raises RecipeError.
    """
    try:
        with read_run(path) as run:
            said, stored = dict(run.items(FAILURE)), dict(run.items(EVALUATED))
    except StoreError as error:
        raise RecipeError(f"data.failures_of: {error}") from error
    known = {key: one for key, one in said.items() if one["kind"] != UNKNOWN and key in stored and one["of"] == content_hash(stored[key])}
    return {key: FailureInfo(one["kind"], one["message"]) for key, one in known.items()}


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
