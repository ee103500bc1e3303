"""An ablation table from a grid file: every cell evaluated once, and the four files that a reader wants."""

import csv
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from planact.grid import load_grid
from planact.recipe import RecipeError, load_recipe
from planact_envs.suites import load_suite
from planact_eval.ablation import benchmark, evaluate_grid
from planact_eval.table import Benchmark

FILES = {"table.md", "table.csv", "table.tex", "report.html", "plots"}
RECIPES = Path(__file__).parents[2] / "recipes/tiny"


def write_grid(folder, second_row):
    path = folder / "duel.yaml"
    path.write_text(
        f"""
name: duel
title: Noise against noise
rows:
  - label: No Planner (ReAct)
    recipe: {RECIPES}/react.yaml
    paper: 36.97
  - label: + Dynamic Replanning
    recipe: {RECIPES}/dynamic-replanning.yaml
    set: {second_row}
"""
    )
    return path


def written(folder):
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*") if path.name in ("run.sqlite", "results.json")}


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_grid_of_two_rows_becomes_a_table_a_plot_and_a_report(changes, tmp_path, capsys):
    grid = load_grid(write_grid(tmp_path, "{agent.planner: base}"), [*changes, "agent.executor=base"])
    said = evaluate_grid(grid, tmp_path / "runs")
    folder = tmp_path / "runs" / "duel"
    assert {path.name for path in folder.iterdir()} == FILES

    with (folder / "table.csv").open() as file:
        first, second = csv.DictReader(file)
    assert (first["label"], first["paper"], first["planned"], first["plan_tokens"]) == ("No Planner (ReAct)", "36.97", "6", "0")
    assert (second["label"], second["paper"], second["planned"]) == ("+ Dynamic Replanning", "", "6")
    assert float(second["plan_tokens"]) > 0 and second["plan_validity"] == "0"  # noise is no plan
    for text in (said, (folder / "table.md").read_text(), (folder / "report.html").read_text()):
        assert "miniweb-short 1.0.0 test (n=6, scorer miniweb)" in text
        assert "No Planner (ReAct)" in text and "+ Dynamic Replanning" in text and "36.97%" in text
    assert str(folder / "report.html") in said and str(folder / "table.md") in said
    ElementTree.parse(folder / "plots/ladder.svg")  # well-formed
    evaluated = capsys.readouterr().out
    assert [line.split(": ")[0] for line in evaluated.splitlines() if "/eval/" in line] == ["No Planner (ReAct)", "+ Dynamic Replanning"]

    before, files = written(tmp_path / "runs"), contents(folder)
    assert len(before) == 4  # a store and a result for each row
    assert evaluate_grid(grid, tmp_path / "runs") == said
    assert written(tmp_path / "runs") == before
    assert contents(folder) == files


def test_a_row_that_names_no_scorer_stands_beside_one_that_names_the_suites_own():
    recipe = load_recipe(RECIPES / "react.yaml")
    assert recipe.eval.scorer is None
    named = load_recipe(RECIPES / "react.yaml", ["eval.scorer=miniweb"])
    assert benchmark([recipe, named]) == Benchmark("miniweb-short", load_suite("miniweb-short").version, "test", "miniweb")


def test_rows_of_two_benchmarks_are_refused_before_anything_is_run(changes, tmp_path):
    grid = load_grid(write_grid(tmp_path, "{agent.planner: base, eval.split: validation}"), [*changes, "agent.executor=base"])
    two = r"miniweb-short \S+ test, scorer miniweb; miniweb-short \S+ validation, scorer miniweb"
    with pytest.raises(RecipeError, match=f"one eval.suite, eval.split .*: {two}"):
        evaluate_grid(grid, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_row_without_an_evaluation_is_refused_before_anything_is_run(changes, tmp_path):
    grid = load_grid(write_grid(tmp_path, "{eval: null}"), [change for change in changes if not change.startswith("eval.")])
    with pytest.raises(RecipeError, match="'tiny/dynamic-replanning' cannot be evaluated: it needs the sections `agent` and `eval`"):
        evaluate_grid(grid, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
