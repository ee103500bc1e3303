"""Reports of what has been evaluated: what is missing is told, what cannot stand in one table is refused, nothing is run."""

import csv
import shutil

import pytest

from planact.grid import load_grid
from planact.recipe import RecipeError, load_recipe
from planact.store import StoreError
from planact_envs.suites import load_suite
from planact_eval.planned import eval_folder, models_of
from planact_eval.reading import report_grid, report_runs
from tests.planact_eval.saved_runs import MINIWEB, save_run
from tests.planact_eval.test_ablation import FILES, RECIPES

REACT = RECIPES / "react.yaml"
CHANGES = (*MINIWEB, "eval.limit=3", "eval.repeats=1")


def saved(runs, *more, config=REACT):
    """The folder of a run that the scripted teacher played where `evaluate` would have it."""
    recipe = load_recipe(config, [*CHANGES, *more])
    suite = load_suite(recipe.eval.suite)
    folder = eval_folder(recipe, suite, models_of(recipe, runs), runs)
    save_run(folder, config, [*CHANGES, *more], lambda task: suite.teacher(recipe.agent.observation, recipe.agent.grammar, 0.0))
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two runs that differ in their seed."""
    runs = tmp_path_factory.mktemp("runs")
    return saved(runs), saved(runs, "seed=1")


@pytest.fixture
def runs(finished, tmp_path):
    """A copy, to write into."""
    return shutil.copytree(finished[0].parents[1], tmp_path / "runs")


def grid(folder, *changes):
    """Rows: evaluated, never run, never trained."""
    served = "{" + ", ".join(change.replace("=", ": ", 1) for change in CHANGES)
    sets = {"here": served + "}", "seed 7": served + ", seed: 7}", "trained": "{agent.executor: trained}"}
    rows = [f"  - {{label: {label}, recipe: {REACT}, paper: 40, set: {set}}}" for label, set in sets.items()]
    (folder / "grid.yaml").write_text("\n".join(["name: some", "title: Some rows", "rows:", *rows]))
    return load_grid(folder / "grid.yaml", changes)


def stores(runs):
    return {path: path.read_bytes() for path in runs.rglob("run.sqlite")}


def test_cells_that_are_not_evaluated_are_shown_as_missing(runs, tmp_path):
    before = stores(runs)
    said = report_grid(grid(tmp_path), runs)
    # 3 of 3: 100 %, 60 points above the 40 % of the paper
    assert [line.split()[:2] for line in said.splitlines()[2:5]] == [["here", "100.0%"], ["seed", "7"], ["trained", "missing"]]
    assert "seed 7: not evaluated: no episode has been run" in said
    assert "trained: not evaluated: the react rows of tiny/react are not built" in said
    folder = runs / "some"
    assert {path.name for path in folder.iterdir()} == FILES and str(folder / "table.tex") in said
    with (folder / "table.csv").open() as file:
        assert [(row["difference"], row["scorer"], row["success"]) for row in csv.DictReader(file)] == [
            ("60", "miniweb", "3"),
            ("", "miniweb", ""),
            ("", "miniweb", ""),
        ]
    assert stores(runs) == before


def test_a_run_that_is_not_finished_is_missing(runs, tmp_path):
    with pytest.raises(RecipeError, match="nothing of this has been evaluated.*\n  here: 3 of 6 episodes are done"):
        report_grid(grid(tmp_path, "eval.repeats=2"), runs)


def test_run_folders_become_rows_called_as_they_differ(runs, tmp_path):
    one, two = sorted((runs / "eval").iterdir())
    said = report_runs([one, two, one], tmp_path / "out")
    assert [line.split()[:2] for line in said.splitlines()[2:4]] == [[one.name, "100.0%"], [two.name, "100.0%"]]
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert report_runs([one], tmp_path / "one").splitlines()[2].split()[:2] == ["tiny/react", "100.0%"]


def test_runs_on_other_tasks_are_refused(runs, tmp_path, monkeypatch):
    other = saved(runs, "eval.split=validation")
    one, *_ = sorted(path for path in (runs / "eval").iterdir() if path != other)
    with pytest.raises(RecipeError, match="the rows of one table must have one eval.suite, eval.split"):
        report_runs([one, other], tmp_path / "out")
    with pytest.raises(StoreError, match="is no run folder"):
        report_runs([runs], tmp_path / "out")
    later = load_suite("miniweb-short")
    monkeypatch.setattr("planact_eval.reading.load_suite", lambda name: type(later)(**(vars(later) | {"version": "99"})))
    with pytest.raises(RecipeError, match=r"tiny/react: evaluated on miniweb-short \S+, and the tasks here are those of 99"):
        report_runs([one], tmp_path / "out")
    assert not (tmp_path / "out").exists()
