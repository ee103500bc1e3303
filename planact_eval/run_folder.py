"""An evaluation's folder read back: its episodes in the order that the recipe plans them, and the tasks they are of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planact.layout import STORE
from planact.recipe import Recipe, RecipeError, load_recipe
from planact.store import RunStore, StoreError, read_run
from planact.types import Task, Trajectory, from_dict
from planact_envs.suites import load_suite
from planact_eval.planned import planned_episodes
from planact_eval.runner import KIND, REPLACED


@dataclass(frozen=True)
class RunFolder:
    """One run, open to be read, also while it is still written. Made by `open_run`."""

    folder: Path
    store: RunStore
    recipe: Recipe
    tasks: Mapping[str, Task]  # by id; empty where the benchmark's tasks cannot be read here
    planned: tuple[str, ...]  # keys of the episodes in the order of the plan; empty likewise
    missing: str  # why the tasks cannot be read; "" when they can

    @property
    def settings(self) -> dict[str, Any]:
        """What the run was started with (planact_eval.planned.eval_settings)."""
        return self.store.fingerprint

    def keys(self) -> tuple[str, ...]:
        """Of the episodes that are done: as planned, then those that the recipe no longer asks for."""
        done = self.store.keys(KIND)
        return (*(key for key in self.planned if key in done), *sorted(done - set(self.planned)))

    def trajectory(self, key: str) -> Trajectory:
        """Raises StoreError when it has another form than this version's."""
        try:
            return from_dict(Trajectory, self.store.get(key, KIND))
        except (TypeError, ValueError) as error:
            raise StoreError(f"{self.store.path}: the episode {key} was stored by another version of planact: {error}") from error

    def task_of(self, trajectory: Trajectory) -> Task | None:
        """None where the task is not known here, or was another one when the run was made."""
        task = self.tasks.get(trajectory.task_id)
        return task if task and task.hash == trajectory.task_hash else None

    def replaced(self) -> dict[str, list[str]]:
        """Key → why the episodes broke that a retry took the place of, in order."""
        found: dict[str, list[str]] = {}
        for key, stored in self.store.items(REPLACED):
            found.setdefault(key.rsplit(" ", 1)[0], []).append(stored["error"])
        return found


@contextmanager
def open_run(folder: Path) -> Iterator[RunFolder]:
    """The run in `folder`. Raises StoreError when there is none, RecipeError when its recipe cannot be read."""
    if not (folder / STORE).is_file():
        raise StoreError(f"{folder} is no run folder: it has no {STORE}; name one of runs/eval/, e.g. the one that evaluate.py printed")
    with read_run(folder / STORE) as store:
        recipe = load_recipe(folder / "recipe.yaml")
        try:
            episodes, missing = planned_episodes(recipe, load_suite(recipe.eval.suite)), ""
        except RecipeError as error:  # e.g. WebArena's files are on the machine that ran it only
            episodes, missing = (), str(error)
        tasks = {episode.task.id: episode.task for episode in episodes}
        yield RunFolder(folder, store, recipe, tasks, tuple(episode.key for episode in episodes), missing)
