"""An ablation table: evaluate every cell of a grid, then write the table, the plot and the report in one folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path

from planact.grid import Grid
from planact.recipe import Recipe, RecipeError
from planact.types import Trajectory
from planact_envs.suites import load_suite, scorer_of
from planact_eval.report import PLOTS, write_report
from planact_eval.runner import evaluate
from planact_eval.table import Benchmark, Row, heading, plain_text


def evaluate_grid(grid: Grid, runs: Path) -> str:
    """Evaluate what has not been evaluated. Returns the table as text and the paths of what was written."""
    benchmark([cell.recipe for cell in grid.cells])  # before hours of work
    rows, episodes, recipes = [], {}, {}
    for cell in grid.cells:
        folder, summary, trajectories = evaluate(cell.recipe, runs)
        row = Row(cell.row, cell.column, cell.paper, summary)
        rows.append(row)
        episodes[row.key], recipes[row.key] = trajectories, cell.recipe
        print(f"{row.key}: {folder}")
    return write_table(runs / grid.name, grid.title, rows, episodes, recipes)


def write_table(
    folder: Path, title: str, rows: Sequence[Row], episodes: Mapping[str, Sequence[Trajectory]], recipes: Mapping[str, Recipe]
) -> str:
    """Write the tables, report.html and plots/ into `folder`. Returns what a user should read.

    `episodes` and `recipes` are by `Row.key`. Raises RecipeError when the rows are not measured on one benchmark.
    """
    measured = benchmark(list(recipes.values()))
    facts = {
        "base model": ", ".join(dict.fromkeys(recipe.base_model for recipe in recipes.values())),
        "date": date.today().isoformat(),
        "seed": ", ".join(dict.fromkeys(str(recipe.seed) for recipe in recipes.values())),
    }
    report = write_report(folder, title, measured, rows, episodes, {key: recipe.name for key, recipe in recipes.items()}, facts)
    tables = ", ".join(str(folder / f"table.{form}") for form in ("md", "csv", "tex"))
    said = plain_text(rows, heading(rows, measured))
    return f"\n{said}\ntable   {tables}\nplots   {folder / PLOTS}\nreport  {report}"


def benchmark(recipes: Sequence[Recipe]) -> Benchmark:
    """What all recipes are measured on. Raises RecipeError when they cannot stand in one table."""
    for recipe in recipes:
        if recipe.agent is None or recipe.eval is None:
            raise RecipeError(f"the recipe '{recipe.name}' cannot be evaluated: it needs the sections `agent` and `eval`")
    suites = [(load_suite(recipe.eval.suite), recipe.eval) for recipe in recipes]
    return the_same(Benchmark(suite.name, suite.version, eval_.split, scorer_of(suite, eval_.scorer)) for suite, eval_ in suites)


def the_same(found: Iterable[Benchmark]) -> Benchmark:
    """Raises RecipeError when there are several."""
    different = sorted({(one.suite, one.version, one.split, one.scorer) for one in found})
    if len(different) > 1:
        names = "; ".join(str(Benchmark(*one)) for one in different)
        raise RecipeError(f"the rows of one table must have one eval.suite, eval.split and eval.scorer, but there are: {names}")
    return Benchmark(*different[0])
