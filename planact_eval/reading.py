"""The table of what has been evaluated already: nothing is run, and what is not there is a row that says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from planact.grid import Cell, Grid
from planact.layout import STORE, NotBuilt
from planact.recipe import Recipe, RecipeError
from planact.store import StoreError
from planact.types import Trajectory
from planact_envs.suites import load_suite
from planact_eval.ablation import benchmark, the_same, write_table
from planact_eval.metrics import Summary, summarize
from planact_eval.planned import eval_folder, models_of, planned_episodes, planned_tasks
from planact_eval.run_folder import RunFolder, open_run
from planact_eval.table import Benchmark, Row

Results = tuple[Summary, list[Trajectory]]


def report_grid(grid: Grid, runs: Path, folder: Path | None = None) -> str:
    """Write the table of a grid into `folder` or, without one, where ablate.py writes it. Returns what a user should read.

    Raises RecipeError when the cells cannot stand in one table or none has been evaluated.
    """
    benchmark([cell.recipe for cell in grid.cells])
    found = [_of_cell(cell, runs) for cell in grid.cells]
    recipes = {row.key: cell.recipe for (row, _), cell in zip(found, grid.cells, strict=True)}
    return _write(folder or runs / grid.name, grid.title, found, recipes)


def report_runs(folders: Sequence[Path], folder: Path) -> str:
    """Write the table of run folders into `folder`. Returns what a user should read.

    Raises StoreError when one is no run folder, RecipeError when they cannot stand in one table or none is finished.
    """
    folders = list({path.resolve(): path for path in folders}.values())
    found, recipes, measured = [], [], []
    for path in folders:
        with open_run(path) as run:
            found.append(_row(run))
            recipes.append(run.recipe)
            measured.append(Benchmark(*(run.settings[name] for name in ("suite", "suite_version", "split", "scorer"))))
    the_same(measured)
    labels = _labels([recipe.name for recipe in recipes], folders)
    named = [(replace(row, label=label), trajectories) for label, (row, trajectories) in zip(labels, found, strict=True)]
    title = ", ".join(dict.fromkeys(recipe.name for recipe in recipes))
    return _write(folder, title, named, dict(zip(labels, recipes, strict=True)))


def read_results(run: RunFolder, recipe: Recipe) -> Results:
    """The summary and the trajectories of the episodes that `recipe` plans, which may ask for fewer repeats than the run has.

    Raises StoreError when some are missing or were run on other tasks, RecipeError when the tasks cannot be read here.
    """
    suite = load_suite(recipe.eval.suite)
    if (version := run.settings["suite_version"]) != suite.version:
        raise StoreError(f"evaluated on {suite.name} {version}, and the tasks here are those of {suite.version}")
    planned, done = [episode.key for episode in planned_episodes(recipe, suite)], set(run.keys())
    if not done.issuperset(planned):
        raise StoreError(f"{len(done & set(planned))} of {len(planned)} episodes are done")
    trajectories = [run.trajectory(key) for key in planned]
    summary = summarize(planned_tasks(recipe, suite), trajectories, recipe.eval.repeats, suite.oracle, recipe.agent.observation)
    return summary, trajectories


def _of_cell(cell: Cell, runs: Path) -> tuple[Row, list[Trajectory]]:
    try:
        suite = load_suite(cell.recipe.eval.suite)
        folder = eval_folder(cell.recipe, suite, models_of(cell.recipe, runs), runs)
        if not (folder / STORE).exists():
            raise NotBuilt("no episode has been run", "scripts/evaluate.py")
        with open_run(folder) as run:
            summary, trajectories = read_results(run, cell.recipe)
    except (NotBuilt, RecipeError, StoreError) as error:
        return Row(cell.row, cell.column, cell.paper, None, str(error)), []
    return Row(cell.row, cell.column, cell.paper, summary), trajectories


def _row(run: RunFolder) -> tuple[Row, list[Trajectory]]:
    try:
        summary, trajectories = read_results(run, run.recipe)
    except (RecipeError, StoreError) as error:
        return Row(run.recipe.name, "", None, None, str(error)), []
    return Row(run.recipe.name, "", None, summary), trajectories


def _labels(names: Sequence[str], folders: Sequence[Path]) -> Sequence[str]:
    """The recipes' names; the folders' where these are not different, and their paths where those are not either."""
    choices = (names, [folder.name for folder in folders], [str(folder) for folder in folders])
    return next(labels for labels in choices if len(set(labels)) == len(labels))


def _write(folder: Path, title: str, found: Sequence[tuple[Row, list[Trajectory]]], recipes: dict[str, Recipe]) -> str:
    rows = [row for row, _ in found]
    if all(row.summary is None for row in rows):
        reasons = "\n".join(f"  {row.key}: {row.missing}" for row in rows)
        raise RecipeError(f"nothing of this has been evaluated, so there is no table:\n{reasons}")
    return write_table(folder, title, rows, {row.key: trajectories for row, trajectories in found}, recipes)
